#include "listing.h"

#include "ipc/message.h"

#include <stdio.h>

#define PAGE_BYTES 32768u

void listing_begin(struct listing *l, const struct cli *cli, const struct command *command)
{
	*l = (struct listing){.fields = buf_make(65536), .page = buf_make(1u << 20), .out = buf_make(4u << 20), .ok = true};
	l->rows = rows_begin(cli->json ? ROWS_JSON : command->style, &l->out);
}

void listing_text(struct listing *l, const char *key, struct slice value)
{
	l->ok = l->ok && rec_control_field_add(&l->fields, &(struct rec_control_field){slice_of(key), value});
}

void listing_number(struct listing *l, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	listing_text(l, key, slice_of(text));
}

static bool flush_page(struct listing *l)
{
	l->ok = l->ok && rows_page(&l->rows, buf_slice(&l->page)) && print_out(&l->out);
	buf_clear(&l->page);
	return l->ok;
}

bool listing_row(struct listing *l)
{
	struct rec_control_row row = {.control_field_records = buf_slice(&l->fields)};

	l->ok = l->ok && rec_control_row_add(&l->page, &row);
	buf_clear(&l->fields);
	return l->ok && (l->page.len < PAGE_BYTES || flush_page(l));
}

int listing_end(struct listing *l, int exit, const struct command *command)
{
	if (exit == CLI_OK && (!flush_page(l) || !rows_end(&l->rows, command->nothing) || !print_out(&l->out)))
		exit = CLI_TEMPORARY;
	buf_free(&l->fields);
	buf_free(&l->page);
	buf_free(&l->out);
	return exit;
}
