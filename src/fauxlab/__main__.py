"""`python -m fauxlab`, the form that torchrun takes: `torchrun --nproc-per-node 2 -m fauxlab
detector train …`.
"""

from fauxlab.cli import main

main()
