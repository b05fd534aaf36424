# Fits the study's four formulas to the tables of tables.csv by nlme::lme, plain and weighted by
# precision, and writes what a summary shows. It made values.csv:
#
#   Rscript tests/statistics/inputs/nlme/fit.R tests/statistics/inputs/nlme/tables.csv tests/statistics/inputs/nlme/values.csv
#
# with R 4.2.2 and nlme 3.1-162 (Debian 12: r-base-core, r-cran-nlme).

library(nlme)

formulas <- list(
  constitutional = score ~ t1 + dwi + rsfmri,
  psychology = score ~ serology + disease + t1 + dwi + rsfmri,
  disease = score ~ serology + psychology + t1 + dwi + rsfmri,
  serology = score ~ disease + psychology + t1 * dwi + rsfmri
)

fit_one <- function(rows, weighting) {
  model <- lme(
    formulas[[rows$domain[1]]],
    random = ~ 1 | target, data = rows, method = "REML",
    weights = if (weighting == "precision") varFixed(~ I(1 / weight)) else NULL,
    control = lmeControl(msMaxIter = 500, msTol = 1e-12, tolerance = 1e-10)
  )
  shown <- summary(model)$tTable
  data.frame(
    table = rows$table[1], weighting = weighting,
    term = sub("(Intercept)", "intercept", rownames(shown), fixed = TRUE),
    estimate = shown[, "Value"], std_error = shown[, "Std.Error"], df = shown[, "DF"],
    t = shown[, "t-value"], p = shown[, "p-value"],
    sd_target = as.numeric(VarCorr(model)["(Intercept)", "StdDev"]),
    sd_residual = model$sigma, log_likelihood = as.numeric(logLik(model)), n = nrow(rows)
  )
}

arguments <- commandArgs(trailingOnly = TRUE)
tables <- read.csv(arguments[1])
results <- list()
for (name in unique(tables$table)) {
  for (weighting in c("equal", "precision")) {
    rows <- tables[tables$table == name, ]
    results[[paste(name, weighting)]] <- fit_one(rows, weighting)
  }
}
values <- do.call(rbind, results)
numbers <- c("estimate", "std_error", "t", "p", "sd_target", "sd_residual", "log_likelihood")
values[numbers] <- lapply(values[numbers], signif, 8)
write.csv(values, arguments[2], row.names = FALSE, quote = FALSE)
