# postern-keyd: the process that has the private keys.  Included by this folder's CMakeLists.txt.
set(KEYD_SOURCES keyd_certificate.c keyd_decide.c keyd_key.c keyd_request.c keyd_session.c)

postern_program(postern-keyd
	DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/postern
	SOURCES keyd_main.c keyd_generation.c ${KEYD_SOURCES}
	LINKS common_service common_tls)
postern_unit_test(test_keyd
	SOURCES test_keyd.c ${KEYD_SOURCES} ../common/tls/test_certificate.c
	LINKS common_base common_tls common_os)
postern_fuzz(fuzz_tls_key_request
	SOURCES fuzz_tls_key_request.c keyd_request.c
	LINKS common_base common_tls)
postern_fuzz(fuzz_sign_ask
	SOURCES fuzz_sign_ask.c keyd_decide.c keyd_request.c keyd_session.c
	LINKS common_base common_ipc common_tls)
if(TARGET common_harness)
	postern_unit_test(test_keyd_process SOURCES test_keyd_process.c LINKS common_harness common_conf)
	target_compile_definitions(test_keyd_process PRIVATE KEYD="$<TARGET_FILE:postern-keyd>")
	add_dependencies(test_keyd_process postern-keyd)
endif()
