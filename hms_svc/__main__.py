"""`python -m hms_svc` is `hms-svc`."""

from hms_svc.cli import main

if __name__ == "__main__":
    main()
