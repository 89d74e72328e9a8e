# postern-local: local delivery into Maildirs.

postern_library(delivery_maildir SOURCES body.c folder.c maildir.c maildir_path.c maildir_text.c mbox.c mbox_mark.c program_words.c quota.c LINKS common_base common_os common_quota)

postern_program(postern-local DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/postern
	SOURCES local.c local_expand.c local_job.c local_owners.c local_pool.c local_spawn.c mailbox.c offspring.c once.c owner_filter.c program.c runner_rows.c
	LINKS delivery_maildir common_filter common_service common_mail common_os)

postern_unit_test(test_maildir_path SOURCES test_maildir_path.c LINKS delivery_maildir)
postern_unit_test(test_folder SOURCES test_folder.c LINKS delivery_maildir)
postern_unit_test(test_quota SOURCES test_quota.c LINKS delivery_maildir)
postern_unit_test(test_program_words SOURCES test_program_words.c LINKS delivery_maildir)
if(TARGET test_program_words)
	target_link_options(test_program_words PRIVATE -Wl,--wrap=malloc)
endif()
postern_unit_test(test_runner_rows SOURCES test_runner_rows.c runner_rows.c LINKS common_base)
postern_unit_test(test_maildir_text SOURCES test_maildir_text.c LINKS delivery_maildir)
postern_fuzz(fuzz_maildir_text SOURCES fuzz_maildir_text.c LINKS delivery_maildir)
postern_unit_test(test_mbox SOURCES test_mbox.c LINKS delivery_maildir)
if(TARGET test_mbox)
	target_link_options(test_mbox PRIVATE -Wl,--wrap=fcntl)
endif()
postern_unit_test(test_mbox_mark SOURCES test_mbox_mark.c LINKS delivery_maildir)
postern_fuzz(fuzz_mbox_mark SOURCES fuzz_mbox_mark.c LINKS delivery_maildir)
postern_fuzz(fuzz_folder SOURCES fuzz_folder.c LINKS delivery_maildir)
postern_unit_test(test_maildir SOURCES test_maildir.c LINKS delivery_maildir)
postern_unit_test(test_mailbox_worker SOURCES test_mailbox_worker.c mailbox.c once.c owner_filter.c LINKS delivery_maildir common_filter common_conf common_ipc common_mail common_os)
postern_unit_test(test_local_process SOURCES test_local_process.c LINKS common_conf common_ipc common_os)
if(TARGET test_local_process)
	target_compile_definitions(test_local_process PRIVATE POSTERN_LOCAL="$<TARGET_FILE:postern-local>")
	add_dependencies(test_local_process postern-local)
endif()
