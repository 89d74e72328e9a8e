# postern-gate: listeners, counts, attestation, and the control socket.  Included by this folder's CMakeLists.txt.
set(GATE_SOURCES gate_control.c gate_count.c gate_door.c gate_lobby.c gate_proxy.c gate_session.c gate_verb.c gate_witness.c)

postern_program(postern-gate
	DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/postern
	SOURCES gate_main.c ${GATE_SOURCES}
	LINKS common_service)
postern_unit_test(test_gate
	SOURCES test_gate.c ${GATE_SOURCES}
	LINKS common_base common_conf common_event common_ipc common_os)
postern_unit_test(test_gate_proxy
	SOURCES test_gate_proxy.c gate_count.c gate_lobby.c gate_proxy.c gate_session.c gate_witness.c
	LINKS common_base common_conf common_event common_ipc)
postern_fuzz(fuzz_proxy SOURCES fuzz_proxy.c gate_proxy.c LINKS common_base common_conf)
