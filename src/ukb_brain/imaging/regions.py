"""Names of regions, in the order in which the makers of fields 31014 to 31026 number them.

Numbers decide: that of a cortical atlas, then those of a subcortical one behind them. Held against
the makers' lists of labels (github.com/sina-mansour/UKB-connectomics).
"""

from collections.abc import Sequence

# Areas of Glasser et al., Nature 536:171 (2016), in the order of its table and with pOFC for its
# pOFC2.
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

# Of Desikan et al., NeuroImage 31:968 (2006), as FreeSurfer names and orders them.
DESIKAN = (
    "bankssts", "caudalanteriorcingulate", "caudalmiddlefrontal", "cuneus", "entorhinal",
    "fusiform", "inferiorparietal", "inferiortemporal", "isthmuscingulate", "lateraloccipital",
    "lateralorbitofrontal", "lingual", "medialorbitofrontal", "middletemporal", "parahippocampal",
    "paracentral", "parsopercularis", "parsorbitalis", "parstriangularis", "pericalcarine",
    "postcentral", "posteriorcingulate", "precentral", "precuneus", "rostralanteriorcingulate",
    "rostralmiddlefrontal", "superiorfrontal", "superiorparietal", "superiortemporal",
    "supramarginal", "frontalpole", "temporalpole", "transversetemporal", "insula",
)  # fmt: skip

# Of the subcortex by Tian et al., Nature Neuroscience 23:1421 (2020), at its scales 1 and 4.
TIAN_1 = ("HIP", "AMY", "pTHA", "aTHA", "NAc", "GP", "PUT", "CAU")
TIAN_4 = (
    "HIP-head-m1", "HIP-head-m2", "THA-VAip", "THA-VAia", "HIP-head-l", "HIP-body", "HIP-tail",
    "THA-VPm", "THA-VPl", "THA-VAs", "THA-DAm", "THA-DAl", "PUT-VA", "PUT-DA", "PUT-VP", "PUT-DP",
    "CAU-VA", "CAU-DA", "CAU-body", "CAU-tail", "lAMY", "mAMY", "THA-DP", "NAc-shell", "NAc-core",
    "pGP", "aGP",
)  # fmt: skip


def glasser_labels(regions: int) -> tuple[str, ...]:
    """Name at most 360 regions of the Glasser parcellation, as the makers of field 31016 do.

    Such as ``R_V1_ROI``: half of each side, the right one first.
    """
    right = (regions + 1) // 2
    sides = [("R", right), ("L", regions - right)]
    return tuple(f"{side}_{area}_ROI" for side, count in sides for area in AREAS[:count])


def _both(names: Sequence[object], first: str, second: str) -> tuple[str, ...]:
    """Name regions of both sides; ``{}`` is one of the names."""
    return tuple(side.format(name) for side in (first, second) for name in names)


def _numbered(each: int) -> tuple[str, ...]:
    """Give numbers in place of names that are too many to list, the left ones first."""
    return _both(range(1, each + 1), "left_{}", "right_{}")


def connectome_labels(field: int) -> tuple[str, ...]:
    """Name the regions of a structural connectome, of fields 31020 to 31026, in its order.

    Nothing of other fields.
    """
    desikan = _both(DESIKAN, "left_{}", "right_{}")
    tian_1, tian_4 = (_both(names, "{}-rh", "{}-lh") for names in (TIAN_1, TIAN_4))
    known = {
        31020: _numbered(74) + tian_1,  # Destrieux et al., NeuroImage 53:1 (2010)
        31021: desikan + tian_1,
        31022: glasser_labels(360) + tian_1,
        31023: glasser_labels(360) + tian_4,
        31024: _numbered(100) + tian_1,  # Schaefer et al., Cerebral Cortex 28:3095 (2018)
        31025: _numbered(250) + tian_4,
        31026: _numbered(500) + tian_4,
    }
    return known.get(field, ())
