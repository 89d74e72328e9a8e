#include "conf/bundle.h"
#include "conf/conf.h"
#include "conf/print.h"
#include "rules/rules.h"

#include <stdlib.h>

/*
 * Any text is a configuration or has mistakes.  What compiles prints a form that compiles again and
 * prints the same, and its rules come to an end whatever facts and tables say.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PRINT_MAX (16u << 20)

static struct conf *compile(struct slice text)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf_mistakes mistakes = {{0}, 0};
	struct conf *conf = NULL;

	if (bundle_add(&bundle, slice_of("x"), text))
		conf = conf_compile(buf_slice(&bundle), &mistakes);
	buf_free(&mistakes.text);
	buf_free(&bundle);
	return conf;
}

/* Facts and tables answer by a number that changes with each question. */
static enum fact_state fact(void *arg, enum fact_id id, struct fact_value *out)
{
	unsigned *seed = arg;

	*seed = *seed * 1103515245u + 12345u + (unsigned)id;
	*out = (struct fact_value){slice_of(*seed & 64 ? "a@b.example" : ""), *seed >> 16};
	return *seed % 11 == 0 ? FACT_PENDING : *seed % 7 == 0 ? FACT_UNKNOWN : FACT_KNOWN;
}

static enum answer table(void *arg, const struct conf_table *t, struct slice key)
{
	unsigned *seed = arg;

	(void)t;
	*seed = *seed * 1103515245u + 12345u + (unsigned)key.len;
	return (enum answer)((*seed >> 16) % 4);
}

static bool tag(void *arg, const char *name)
{
	unsigned *seed = arg;

	return (*seed + (unsigned char)name[0]) % 2 == 0;
}

static enum answer header(void *arg, const char *name)
{
	unsigned *seed = arg;

	return (enum answer)((*seed + (unsigned char)name[0]) % 4);
}

static void evaluate(const struct conf *conf, unsigned seed)
{
	const struct rule_source source = {fact, table, tag, NULL, NULL, &seed, header};
	struct policy_verdict v;
	struct route_step step = {.next = 0};

	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		policy_eval(conf->policy[i], &source, &v);
		policy_verdict_free(&v);
	}
	do
		route_eval(conf->route, step.next, &source, &step);
	while (step.end == ROUTE_STEP);
}

static void print_again(struct slice first)
{
	struct buf second = buf_make(PRINT_MAX);
	struct conf *conf = compile(first);

	if (conf == NULL || !conf_print(conf, &second) || !slice_eq(first, buf_slice(&second)))
		abort();
	buf_free(&second);
	conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = compile(slice_make((const char *)data, size));
	struct buf printed = buf_make(PRINT_MAX);

	if (conf != NULL) {
		for (unsigned seed = 0; seed < 4; seed++)
			evaluate(conf, seed * 7919u + (unsigned)size);
		if (conf_print(conf, &printed) && printed.len < BUNDLE_FILE_MAX)
			print_again(buf_slice(&printed));
	}
	buf_free(&printed);
	conf_free(&conf);
	return 0;
}
