"""Run the packaged project: ``python -m ukb_brain`` or ``ukb-brain``."""

from pathlib import Path

from kedro.framework.project import configure_project


def main() -> None:
    """Run the project's command ``run``."""
    configure_project(Path(__file__).parent.name)
    from ukb_brain.cli import run

    run()


if __name__ == "__main__":
    main()
