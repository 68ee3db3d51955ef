"""`python -m empirical.cli`: `localist` without the installed script."""

from empirical.cli.command_line import main

raise SystemExit(main())
