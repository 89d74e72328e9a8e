#include "filter/report.h"

#include "filter/gather.h"

static const struct {
	const char *name, *words;
} kinds[] = {
	[FILTER_INBOX] = {"inbox", "into the inbox"},
	[FILTER_FOLDER] = {"folder", "into the folder"},
	[FILTER_FILE] = {"file", "into the file"},
	[FILTER_REDIRECT] = {"redirect", "on to"},
	[FILTER_PIPE] = {"pipe", "to the program"},
	[FILTER_MAIL] = {"mail", "a mail to"},
	[FILTER_REJECT] = {"reject", "refused:"},
	[FILTER_HOLD] = {"hold", "held for the operator:"},
	[FILTER_ADD_HEADER] = {"add-header", "with the header line"},
	[FILTER_REMOVE_HEADER] = {"remove-header", "without the header"},
};

const char *filter_action_name(enum filter_action_kind kind)
{
	return kinds[kind].name;
}

/* Each word as a shell would need it, so that one sees where it ends. */
static void put_words(struct slice words, struct buf *out)
{
	struct slice word;

	while (slice_cut(&words, '\0', &word)) {
		buf_add_char(out, ' ');
		filter_show(word, out);
	}
}

static void put_list(struct slice list, struct buf *out)
{
	struct slice one;
	bool first = true;

	while (slice_cut(&list, '\n', &one)) {
		buf_addf(out, "%s%.*s", first ? " " : ", ", SLICE_ARG(one));
		first = false;
	}
}

void filter_action_text(const struct filter_action *a, struct buf *out)
{
	buf_add_text(out, kinds[a->kind].words);
	if (a->kind == FILTER_PIPE) {
		put_words(a->text, out);
	} else if (a->kind == FILTER_MAIL) {
		put_list(a->to, out);
		buf_addf(out, ", %zu bytes%s", a->text.len, a->null_sender ? ", from the null sender" : "");
	} else if (a->kind == FILTER_FILE || a->kind == FILTER_FOLDER || a->kind == FILTER_REDIRECT) {
		buf_addf(out, " %.*s", SLICE_ARG(a->text));
	} else if (a->text.len > 0) {
		buf_add_char(out, ' ');
		filter_show(a->text, out);
	}
	if (a->mode != 0)
		buf_addf(out, ", mode %o", a->mode);
	if (a->flags.len > 0)
		buf_addf(out, ", flags %.*s", SLICE_ARG(a->flags));
	if (a->create)
		buf_add_text(out, ", made if it is not there");
	if (a->once_seconds > 0)
		buf_addf(out, ", at most once in %llu seconds", (unsigned long long)a->once_seconds);
}
