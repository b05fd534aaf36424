"""Names of the 360 regions of the Glasser parcellation, as the makers of field 31016 write them.

Areas are those of Glasser et al., Nature 536:171 (2016), in the order of its table and with
pOFC for its pOFC2; the right side comes first. Held against the makers' own list of labels
(github.com/sina-mansour/UKB-connectomics).
"""

AREAS = (
    "V1", "MST", "V6", "V2", "V3", "V4", "V8", "4", "3b", "FEF", "PEF", "55b", "V3A", "RSC",
    "POS2", "V7", "IPS1", "FFC", "V3B", "LO1", "LO2", "PIT", "MT", "A1", "PSL", "SFL", "PCV",
    "STV", "7Pm", "7m", "POS1", "23d", "v23ab", "d23ab", "31pv", "5m", "5mv", "23c", "5L",
    "24dd", "24dv", "7AL", "SCEF", "6ma", "7Am", "7PL", "7PC", "LIPv", "VIP", "MIP", "1", "2",
    "3a", "6d", "6mp", "6v", "p24pr", "33pr", "a24pr", "p32pr", "a24", "d32", "8BM", "p32",
    "10r", "47m", "8Av", "8Ad", "9m", "8BL", "9p", "10d", "8C", "44", "45", "47l", "a47r", "6r",
    "IFJa", "IFJp", "IFSp", "IFSa", "p9-46v", "46", "a9-46v", "9-46d", "9a", "10v", "a10p",
    "10pp", "11l", "13l", "OFC", "47s", "LIPd", "6a", "i6-8", "s6-8", "43", "OP4", "OP1",
    "OP2-3", "52", "RI", "PFcm", "PoI2", "TA2", "FOP4", "MI", "Pir", "AVI", "AAIC", "FOP1",
    "FOP3", "FOP2", "PFt", "AIP", "EC", "PreS", "H", "ProS", "PeEc", "STGa", "PBelt", "A5",
    "PHA1", "PHA3", "STSda", "STSdp", "STSvp", "TGd", "TE1a", "TE1p", "TE2a", "TF", "TE2p",
    "PHT", "PH", "TPOJ1", "TPOJ2", "TPOJ3", "DVT", "PGp", "IP2", "IP1", "IP0", "PFop", "PF",
    "PFm", "PGi", "PGs", "V6A", "VMV1", "VMV3", "PHA2", "V4t", "FST", "V3CD", "LO3", "VMV2",
    "31pd", "31a", "VVC", "25", "s32", "pOFC", "PoI1", "Ig", "FOP5", "p10p", "p47r", "TGv",
    "MBelt", "LBelt", "A4", "STSva", "TE1m", "PI", "a32pr", "p24",
)  # fmt: skip


def region_labels(regions: int) -> tuple[str, ...]:
    """Name at most 360 regions, such as ``R_V1_ROI``: half of each side, the right one first."""
    right = (regions + 1) // 2
    sides = [("R", right), ("L", regions - right)]
    return tuple(f"{side}_{area}_ROI" for side, count in sides for area in AREAS[:count])
