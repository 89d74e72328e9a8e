# postern-log: the one writer of events.

postern_library(log_text SOURCES log_render.c log_rate.c log_out.c LINKS common_base common_ipc)

postern_program(postern-log DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/postern
	SOURCES log.c
	LINKS log_text common_service common_os)

postern_unit_test(test_log_render SOURCES test_log_render.c LINKS log_text)
postern_unit_test(test_log_out SOURCES test_log_out.c LINKS log_text)
postern_fuzz(fuzz_log_event SOURCES fuzz_log_event.c LINKS log_text)
