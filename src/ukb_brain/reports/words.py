"""Plain words of the report: what sections are about, and how their numbers were obtained."""

from __future__ import annotations

WORDS = {
    "conclusions": (
        "The study's claims, put as numbers before looking, and each target's verdict. "
        "“Cannot be told” is a result: these people are too few to decide."
    ),
    "certainty": (
        "Each score is of people never used in training. Some of it is luck of the draw: intervals "
        "say how much, and permutations say which cells tell more than site, sex and age do. A "
        "cell that is told from chance may still be of little use: look at its size."
    ),
    "inputs": (
        "The cell with all inputs is compared, on the same people, with the cell that lacks one of "
        "them. “No gain” is said of these models and no others: a gain of theirs that matters is "
        "excluded. It does not say that there is nothing in the images. Shapley values share out "
        "the skill of all inputs, and do not depend on the order in which one adds them; what two "
        "inputs know in common is split between them."
    ),
    "models": (
        "The study summarises the map by a mixed model a domain. Its p values take the cells of a "
        "target as independent observations, but these are predictions for the same people "
        "(pseudo-replication): they are given for comparison with the paper only. Rest on the "
        "intervals over resampled people. Those hold for these targets, not for characteristics "
        "at large; the model's own may be wider, since to it differences between targets are noise."
    ),
    "limits": (
        "A score from images may rest on what goes along with them: site, sex, age, head size, "
        "head motion, of which those are taken that are known. Where confounds alone read as well, "
        "images have not been shown to tell anything of their own. A score that falls within sites "
        "leant on differences between them. And no one can read a characteristic better than it "
        "was measured: the test-retest ceiling. A ceiling of exactly 1 says that both visits hold "
        "the very same values, as where one measurement serves both: that is no evidence that the "
        "measurement is reliable."
    ),
    "learning": (
        "Models trained again on fewer people show whether skill still rises, and those tested on "
        "a site that they have not seen show whether it travels. Tenfold is an extrapolation with "
        "an interval; a hundredfold is a scenario only."
    ),
    "calibration": (
        "A prediction may rank people well and yet be too extreme or too timid. On the dashed line "
        "it means what it says."
    ),
    "subgroups": (
        "Scores in subgroups of age, sex, site, ethnic background and deprivation, where known, "
        "against all other people. A difference is a reason to look, not yet unfairness: R² and "
        "AUC also fall where a subgroup varies less."
    ),
    "relations": (
        "Which characteristics go together in people, and which are read from the same inputs."
    ),
}
HOW = {
    "conclusions": (
        "Skill is R², or 2·AUC − 1. Claims: bootstrap draws of whole families of test people; a "
        "claim holds where the intervals of all its parts lie on its side of the bound, and fails "
        "where one lies on the other; its p is the largest of its parts'. Networks are not "
        "retrained. Verdicts: rules in the configuration, applied to the tables below."
    ),
    "certainty": (
        "Intervals: over test people, by the method that held its coverage in simulation for that "
        "metric; the map marks with a degree sign those of samples in which none held it. p: "
        "labels of test people permuted within strata of site, sex and age (the target itself left "
        "out), so that it tests association beyond these. “Strictly” compares a cell with the "
        "largest standardised score of all cells in each permutation."
    ),
    "inputs": (
        "Pairs of cells of a target on the people that both have, as cells predicted before the "
        "ladder, which may give both the same predictions; differences over bootstrap draws "
        "of whole families. “Adds”: above 0 after correction within the family of comparisons. "
        "“No gain”: the upper bound lies below the margin; where both cells score the same there "
        "is no interval and no verdict. Shapley values: of the map's cells, on the people common "
        "to all of a target's cells, draw by draw; where the ladder chose no cell with an input "
        "they are 0 without an interval."
    ),
    "models": (
        "Balanced accuracy on inputs with a random intercept a target, by REML, as the study did. "
        "Resampled: in each bootstrap draw of families all cells are rescored, and the model is "
        "refitted, all cells weighted alike."
    ),
    "limits": (
        "Confounds: a ridge or logistic model on training people, joined with the cell of the "
        "block, and then with the imaging cell, on validation people; scored on test people. "
        "Within sites: people are compared with people of their own site only. Ceiling: from the "
        "agreement of two imaging visits, under the "
        "assumption that errors of both are alike and independent. Intervals are percentile "
        "intervals over families."
    ),
    "learning": (
        "Random subsets of training people, the same test people throughout; a power law with an "
        "asymptote, fitted in each bootstrap draw. Left-out sites: each site is predicted by "
        "models of the others. Models of other sizes are trained on the map's own people."
    ),
    "calibration": (
        "Fullest cell of each target, test people only. Bins hold equally many people; bars are "
        "Wilson intervals of binary and bootstrap intervals of continuous targets. Slopes and "
        "offsets have intervals over families."
    ),
    "subgroups": (
        "Fullest cell of each target. Differences over bootstrap draws of families, p adjusted "
        "over all subgroups and targets (Benjamini and Hochberg) at 5 %. Subgroups with few people,"
        " or few in a class, are not scored."
    ),
    "relations": (
        "Mutual information and distance correlation of the measurements at people's first imaging "
        "visit; similarity of the skill that cells have (profiles over inputs). Intervals over "
        "families; p of mutual information by permutation, adjusted over pairs."
    ),
}
EVIDENCE = (
    "Nothing was retrained yet. Learning curves and left-out sites are made by "
    "kedro run --pipelines evidence, with the same --env and --params as this run; then run "
    "kedro run --pipelines reporting again, with these too."
)
MISSING = {
    "": "No table of this is at hand. It is made by kedro run --pipelines reporting.",
    "learning": EVIDENCE,
}
