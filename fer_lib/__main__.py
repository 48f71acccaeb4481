"""``python -m fer_lib`` is ``fer``, also where nothing is installed."""

from fer_lib.cli import main

if __name__ == "__main__":
    main()
