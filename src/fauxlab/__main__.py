"""`python -m fauxlab`, as torchrun starts it: `torchrun -m fauxlab detector train …`."""

from fauxlab.cli import main

main()
