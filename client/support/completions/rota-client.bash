# Completion of rota-client, and of the names of Mender's programs that it answers to.
_rota_client() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local commands='daemon check-update send-inventory control-map install resume commit rollback
        show-artifact show-provides status bootstrap setup snapshot'
    local options='--config --fallback-config --config-dir --share-dir --data --datastore
        --trusted-certs --skipverify --log-file --log-level --no-syslog --version --help
        --reboot-exit-code --stop-before --allow-downgrade --output --forcebootstrap
        --device-type --server-url --url --server-cert --server-ip --hosts-file --tenant-token
        --update-poll --inventory-poll --retry-poll --demo-server --demo-polling --demo
        --source --compression --quiet'
    case $before in
    --stop-before)
        COMPREPLY=($(compgen -W 'ArtifactInstall_Enter ArtifactCommit_Enter ArtifactCommit_Leave
            ArtifactRollback_Enter ArtifactFailure_Enter Cleanup' -- "$word"))
        return ;;
    --output) COMPREPLY=($(compgen -W 'text json' -- "$word")); return ;;
    --compression | -C) COMPREPLY=($(compgen -W 'none gzip' -- "$word")); return ;;
    --log-level | -l)
        COMPREPLY=($(compgen -W 'trace debug info warning error' -- "$word"))
        return ;;
    control-map) COMPREPLY=($(compgen -W 'set show clear' -- "$word")); return ;;
    snapshot) COMPREPLY=($(compgen -W 'dump' -- "$word")); return ;;
    --config-dir | --share-dir | --data | --datastore | -d)
        COMPREPLY=($(compgen -d -- "$word"))
        return ;;
    install | set | --config | -c | --fallback-config | -b | --trusted-certs | --server-cert | -E | \
        --log-file | -L | --hosts-file | --source)
        COMPREPLY=($(compgen -f -- "$word"))
        return ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -W "$commands" -- "$word"))
    fi
}
complete -o filenames -F _rota_client rota-client mender mender-update mender-auth \
    mender-setup mender-snapshot
