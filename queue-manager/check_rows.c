#include "check_rows.h"

#include "base/id.h"
#include "ipc/message.h"

#include <stdio.h>

static void add(struct buf *row, const char *key, const char *value)
{
	(void)rec_control_field_add(row, &(struct rec_control_field){slice_of(key), slice_of(value)});
}

static void add_number(struct buf *row, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add(row, key, text);
}

static void end_row(struct buf *rows, struct buf *row)
{
	(void)rec_control_row_add(rows, &(struct rec_control_row){buf_slice(row)});
	buf_free(row);
}

void check_rows_add_finding(struct buf *rows, const struct check_finding *finding, bool repaired)
{
	struct buf row = buf_make(2048);
	char id[ID_CHARS + 1] = "";

	if (finding->id != 0)
		id_text(finding->id, id);
	add(&row, "finding", check_kind_name(finding->kind));
	add(&row, "id", id);
	add(&row, "path", finding->path);
	add(&row, "repaired", repaired ? "yes" : "no");
	add(&row, "what", check_kind_text(finding->kind));
	end_row(rows, &row);
}

void check_rows_add_counts(struct buf *rows, const struct check_counts *counts)
{
	struct buf row = buf_make(1024);

	add_number(&row, "messages", counts->messages);
	add_number(&row, "held", counts->held);
	add_number(&row, "set_aside", counts->corrupt);
	add_number(&row, "drafts", counts->drafts);
	add_number(&row, "bytes", counts->bytes);
	add_number(&row, "rows", counts->rows);
	add_number(&row, "findings", counts->findings);
	end_row(rows, &row);
}
