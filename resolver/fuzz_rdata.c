#include "rdata.h"

#include "base/log.h"

/* Any packet, read as an answer to each type: what is kept are names of hosts, within their bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum rdata_type types[] = {RDATA_A, RDATA_AAAA, RDATA_MX, RDATA_PTR, RDATA_DNSKEY};
	static struct rdata answer;

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		bool whole = rdata_read(slice_make((const char *)data, size), types[t], &answer);

		MUST(whole || answer.count == 0);
		MUST(answer.count <= RDATA_RECORDS_MAX);
		for (size_t i = 0; i < answer.count; i++) {
			MUST(memchr(answer.records[i].name, '\0', RDATA_NAME_BYTES) != NULL);
			for (const char *c = answer.records[i].name; *c != '\0'; c++)
				MUST(ascii_is_alnum(*c) || *c == '-' || *c == '_' || *c == '.');
		}
	}
	return 0;
}
