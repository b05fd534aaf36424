"""The sections of the report, a file each, in their order."""

from importlib import import_module

from ukb_brain.reports.show import Section

ORDER = "conclusions certainty inputs models limits learning calibration subgroups relations"
SECTIONS: dict[str, Section] = {
    name: import_module(f"{__name__}.{name}").SECTION for name in ORDER.split()
}
