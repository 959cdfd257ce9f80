# `fauxlab scan` in a container: the light install, without PyTorch, as a user without rights.
#
#   docker build -t fauxlab .
#   docker run --rm --read-only --network none --memory 4g --tmpfs /tmp -v "$PWD/photos:/photos:ro" fauxlab scan /photos
#
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/fauxlab \
    && /opt/fauxlab/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/fauxlab /opt/fauxlab
RUN useradd --no-create-home --uid 10001 scan
# Nothing is written outside of /tmp, so the file system can be mounted read-only.
ENV PATH=/opt/fauxlab/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    FAUXLAB_CACHE=/tmp/fauxlab
USER scan
WORKDIR /tmp
ENTRYPOINT ["fauxlab"]
CMD ["--help"]
