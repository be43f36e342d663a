# Completion of rota-client, and of the names of Mender's programs that it answers to.
for program in rota-client mender mender-update mender-auth mender-setup mender-snapshot
    for command in daemon check-update send-inventory control-map install resume commit rollback \
            show-artifact show-provides status bootstrap setup snapshot
        complete -c $program -n __fish_use_subcommand -a $command
    end
    complete -c $program -f -n '__fish_seen_subcommand_from control-map; and not __fish_seen_subcommand_from set show clear' \
        -a 'set show clear'
    complete -c $program -f -n '__fish_seen_subcommand_from snapshot; and not __fish_seen_subcommand_from dump' -a dump
    complete -c $program -s c -l config -r -d 'Configuration'
    complete -c $program -s b -l fallback-config -r -d 'Configuration that the other overrides'
    complete -c $program -l config-dir -r -d 'Configuration and state scripts'
    complete -c $program -l share-dir -r -d 'Modules, identity and inventory scripts'
    complete -c $program -s d -l data -r -d 'All that the client writes'
    complete -c $program -l datastore -r -d 'All that the client writes'
    complete -c $program -s E -l trusted-certs -r -d 'Trust these, too'
    complete -c $program -l server-cert -r -d 'Trust these, too'
    complete -c $program -l skipverify -d 'Do not verify the server'
    complete -c $program -s L -l log-file -r -d 'Log to a file'
    complete -c $program -s l -l log-level -x -a 'trace debug info warning error'
    complete -c $program -l no-syslog -d 'Without effect'
    complete -c $program -s v -l version -d 'Print the version'
    complete -c $program -s h -l help -d 'Print the usage'
    complete -c $program -l reboot-exit-code -d 'Exit with 4 if the payload wants a reboot'
    complete -c $program -l stop-before -x -a 'ArtifactInstall_Enter ArtifactCommit_Enter ArtifactCommit_Leave ArtifactRollback_Enter ArtifactFailure_Enter Cleanup'
    complete -c $program -l allow-downgrade -d 'Go below what is protected'
    complete -c $program -l output -x -a 'text json'
    complete -c $program -s F -l forcebootstrap -d 'Replace the key'
    complete -c $program -l device-type -x -d 'What the device is'
    complete -c $program -l server-url -x -d 'The server'
    complete -c $program -l url -x -d 'The server'
    complete -c $program -l server-ip -x -d 'Where the server is'
    complete -c $program -l hosts-file -r -d 'Where to write that'
    complete -c $program -l tenant-token -x -d 'If the server wants one'
    complete -c $program -l update-poll -x -d 'Seconds between two looks for updates'
    complete -c $program -l inventory-poll -x -d 'Seconds between two reports of the inventory'
    complete -c $program -l retry-poll -x -d 'Most seconds before a failed one is tried again'
    complete -c $program -l demo-server -d 'The demonstration server of Mender'
    complete -c $program -l demo-polling -d 'Short intervals'
    complete -c $program -l demo -d 'Both'
    complete -c $program -l source -r -d 'A path on the file system to copy'
    complete -c $program -s C -l compression -x -a 'none gzip'
    complete -c $program -s q -l quiet -d 'Say nothing'
end
