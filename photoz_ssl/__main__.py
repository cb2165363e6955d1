"""Run the command line as ``python -m photoz_ssl``."""

from __future__ import annotations

from photoz_ssl.cli import main

if __name__ == "__main__":
    main(prog_name="photoz-ssl")
