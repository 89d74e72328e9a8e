#ifndef POSTERN_QUEUE_CHECK_ROWS_H
#define POSTERN_QUEUE_CHECK_ROWS_H

#include "base/buf.h"
#include "check.h"

/* Findings and counts as the operator's command reads them: control_row records. */
void check_rows_add_finding(struct buf *rows, const struct check_finding *finding, bool repaired);
void check_rows_add_counts(struct buf *rows, const struct check_counts *counts);

#endif
