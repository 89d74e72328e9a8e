#include "spool_file.h"

#include "base/mem.h"
#include "crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Seals what was made, so that the fuzzer gets behind the checksum. */
static void seal(char *file, size_t size)
{
	struct spool_end end;
	size_t body_end, slots, end_at = size - SPOOL_END_BYTES;
	uint32_t crc;

	if (size < SPOOL_END_BYTES || spool_decode_end(slice_make(file + end_at, SPOOL_END_BYTES), size, &end) != SPOOL_OK)
		return;
	body_end = end.head_length + (size_t)end.body_length;
	slots = body_end + end.trailer_length;
	crc = crc32c(0, slice_make(file, slots));
	crc = crc32c(crc, slice_make(file + end_at, SPOOL_END_BYTES - 4));
	for (size_t i = 0; i < 4; i++)
		file[size - 1 - i] = (char)(crc >> (8 * i));
}

static void use(const struct spool_mail *mail)
{
	size_t sum = mail->sender.len + mail->prepend.len;

	for (size_t i = 0; i < mail->rcpt_count; i++)
		for (size_t j = 0; j < mail->rcpts[i].address.len; j++)
			sum += (unsigned char)mail->rcpts[i].address.at[j];
	if (sum == SIZE_MAX)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file = mem_new(1, size + 1);
	struct spool_mail mail;

	if (file == NULL)
		return 0;
	memcpy(file, data, size);
	if (spool_decode_whole(slice_make(file, size), &mail) == SPOOL_OK)
		use(&mail);
	spool_mail_free(&mail);
	seal(file, size);
	if (spool_decode_whole(slice_make(file, size), &mail) == SPOOL_OK)
		use(&mail);
	spool_mail_free(&mail);
	free(file);
	return 0;
}
