#include "check_main.h"
#include "queue_service.h"

#include <string.h>

int main(int argc, char **argv)
{
	static const struct cage_spec cage = {
		.calls = CALLS_FILES | CALLS_THREADS | CALLS_LEASE | CALLS_LOCKS,
		.chroot = true,
		.takes_fds = true, /* from the master: links and generations */
		.files_max = 65536,
		.file_bytes_max = 4ull << 30,
		.memory_max = 4ull << 30,
		.processes_max = 256,
	};
	static const struct service_spec spec = {
		.role = ROLE_QUEUE,
		.cage = &cage,
		.text = &service_text,
		.start = queue_start,
		.handlers = queue_handlers,
		.generation_switched = queue_switched,
		.link_up = queue_link_up,
		.link_down = queue_link_down,
		.drain = queue_drain,
		.status = queue_status,
	};

	if (argc == 2 && strcmp(argv[1], "--check") == 0)
		return check_main();
	return service_run(&spec, argc, argv);
}
