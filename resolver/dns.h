#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include "event/loop.h"
#include "rdata.h"
#include "setting.h"

/*
 * libunbound on our loop: no thread, no process, no file.  One `dns` is one way to ask (its forwarders, with or without
 * validation); it never changes, for libunbound reads its forwarders at the first question.
 *
 * Always: an answer comes exactly once, and never from inside dns_ask (libunbound itself answers from its cache inside the
 * call); data that DNSSEC proves to be false is no answer, whatever its response code.
 */
struct dns;

#define DNS_QUERIES_MAX 2048u

/* Before the cage: what libunbound's cryptography would load later. */
void dns_prepare(void);
/* anchors: lines of DS or DNSKEY records, one trust anchor each; empty: nothing is validated.  NULL with a sentence in `why`. */
struct dns *dns_new(struct loop *loop, const struct setting *setting, struct slice anchors, const char **why);
/* What is still open gets its answers; the memory goes after the last. */
void dns_retire(struct dns **dp);

/* `answer` is NULL when it is not known: no answer in time, a server's failure, or false data (`bogus`). */
typedef void dns_answer_fn(const struct rdata *answer, bool bogus, void *arg);
/* False: too many questions are open, or no memory; there will be no call. */
bool dns_ask(struct dns *d, const char *name, enum rdata_type type, dns_answer_fn *fn, void *arg);
size_t dns_open_queries(const struct dns *d);

#endif
