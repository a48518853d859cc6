"""`python -m evalkit`: the same as `evalkit`."""

from evalkit.cli.main import main

main()
