# bash completion for cairn; made by `cairn completion bash`
_cairn_streams() {
    cairn streams --quiet --json --limit 50 ${1:+--prefix "$1"} 2>/dev/null |
        sed -n 's/^{"stream":"\([^"\\]*\)".*/\1/p'
}
_cairn() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= word i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case "$cmd $word" in
        *' -'*) ;;
        ' append') cmd='append' ;;
        ' read') cmd='read' ;;
        ' follow') cmd='follow' ;;
        ' streams') cmd='streams' ;;
        ' stats') cmd='stats' ;;
        ' import') cmd='import' ;;
        'import git') cmd='import git' ;;
        'import packages') cmd='import packages' ;;
        'import xes') cmd='import xes' ;;
        'import csv') cmd='import csv' ;;
        'import ocel') cmd='import ocel' ;;
        'import ndjson') cmd='import ndjson' ;;
        'import cloudevents') cmd='import cloudevents' ;;
        ' export') cmd='export' ;;
        ' verify') cmd='verify' ;;
        ' backup') cmd='backup' ;;
        ' restore') cmd='restore' ;;
        ' branch') cmd='branch' ;;
        ' scavenge') cmd='scavenge' ;;
        ' reindex') cmd='reindex' ;;
        ' retention') cmd='retention' ;;
        ' delete') cmd='delete' ;;
        ' snapshot') cmd='snapshot' ;;
        'snapshot get') cmd='snapshot get' ;;
        'snapshot put') cmd='snapshot put' ;;
        ' subscription') cmd='subscription' ;;
        'subscription create') cmd='subscription create' ;;
        'subscription list') cmd='subscription list' ;;
        'subscription take') cmd='subscription take' ;;
        'subscription ack') cmd='subscription ack' ;;
        'subscription nack') cmd='subscription nack' ;;
        'subscription parked') cmd='subscription parked' ;;
        'subscription replay') cmd='subscription replay' ;;
        'subscription delete') cmd='subscription delete' ;;
        ' new') cmd='new' ;;
        ' check') cmd='check' ;;
        ' deploy') cmd='deploy' ;;
        ' apps') cmd='apps' ;;
        ' app') cmd='app' ;;
        ' command') cmd='command' ;;
        ' query') cmd='query' ;;
        ' state') cmd='state' ;;
        ' projections') cmd='projections' ;;
        ' projection') cmd='projection' ;;
        ' replay') cmd='replay' ;;
        ' migrate') cmd='migrate' ;;
        ' bench') cmd='bench' ;;
        ' serve') cmd='serve' ;;
        ' completion') cmd='completion' ;;
        ' version') cmd='version' ;;
        ' help') cmd='help' ;;
        esac
    done
    case "$cmd $prev" in
        'append --type'|'append -t') return 0 ;;
        'append --data') COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
        'append --meta'|'append -m') return 0 ;;
        'append --tag'|'append -g') return 0 ;;
        'append --id') return 0 ;;
        'append --content-type') return 0 ;;
        'append --expected'|'append -e') COMPREPLY=($(compgen -W 'any none exists' -- "$cur")); return 0 ;;
        'append --unless-type') return 0 ;;
        'append --unless-tag') return 0 ;;
        'append --after') return 0 ;;
        'append --batch'|'append -b') return 0 ;;
        'read --from'|'read -f') COMPREPLY=($(compgen -W 'start end' -- "$cur")); return 0 ;;
        'read --limit'|'read -n') return 0 ;;
        'read --as-of') return 0 ;;
        'read --category'|'read -c') return 0 ;;
        'read --type'|'read -t') return 0 ;;
        'read --tag'|'read -g') return 0 ;;
        'read --since') return 0 ;;
        'read --until') return 0 ;;
        'follow --from'|'follow -f') COMPREPLY=($(compgen -W 'start end' -- "$cur")); return 0 ;;
        'follow --limit'|'follow -n') return 0 ;;
        'follow --category'|'follow -c') return 0 ;;
        'follow --type'|'follow -t') return 0 ;;
        'follow --tag'|'follow -g') return 0 ;;
        'follow --since') return 0 ;;
        'follow --until') return 0 ;;
        'streams --prefix'|'streams -p') return 0 ;;
        'streams --after') COMPREPLY=($(compgen -W "$(_cairn_streams "$cur")" -- "$cur")); return 0 ;;
        'streams --limit'|'streams -n') return 0 ;;
        'import git --prefix'|'import git -p') return 0 ;;
        'import git --rev') return 0 ;;
        'import git --batch') return 0 ;;
        'import packages --in-flight') return 0 ;;
        'import packages --batch') return 0 ;;
        'import xes --prefix'|'import xes -p') return 0 ;;
        'import xes --tag'|'import xes -g') return 0 ;;
        'import xes --in-flight') return 0 ;;
        'import xes --batch') return 0 ;;
        'import csv --stream'|'import csv -s') return 0 ;;
        'import csv --type'|'import csv -t') return 0 ;;
        'import csv --time') return 0 ;;
        'import csv --id') return 0 ;;
        'import csv --tag'|'import csv -g') return 0 ;;
        'import csv --prefix'|'import csv -p') return 0 ;;
        'import csv --separator') return 0 ;;
        'import csv --in-flight') return 0 ;;
        'import csv --batch') return 0 ;;
        'import ocel --name') return 0 ;;
        'import ocel --in-flight') return 0 ;;
        'import ocel --batch') return 0 ;;
        'import ndjson --stream'|'import ndjson -s') COMPREPLY=($(compgen -W "$(_cairn_streams "$cur")" -- "$cur")); return 0 ;;
        'import ndjson --batch') return 0 ;;
        'import cloudevents --stream'|'import cloudevents -s') COMPREPLY=($(compgen -W "$(_cairn_streams "$cur")" -- "$cur")); return 0 ;;
        'import cloudevents --in-flight') return 0 ;;
        'import cloudevents --batch') return 0 ;;
        'export --stream'|'export -s') COMPREPLY=($(compgen -W "$(_cairn_streams "$cur")" -- "$cur")); return 0 ;;
        'export --from'|'export -f') return 0 ;;
        'export --limit'|'export -n') return 0 ;;
        'export --as-of') return 0 ;;
        'export --category'|'export -c') return 0 ;;
        'export --type'|'export -t') return 0 ;;
        'export --tag'|'export -g') return 0 ;;
        'export --since') return 0 ;;
        'export --until') return 0 ;;
        'export --format') COMPREPLY=($(compgen -W 'ndjson cloudevents' -- "$cur")); return 0 ;;
        'export --output'|'export -o') COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
        'restore --to') return 0 ;;
        'branch --at') return 0 ;;
        'retention --max-count') return 0 ;;
        'retention --max-age') return 0 ;;
        'retention --truncate-before') return 0 ;;
        'delete --expected'|'delete -e') COMPREPLY=($(compgen -W 'any exists' -- "$cur")); return 0 ;;
        'snapshot put --revision'|'snapshot put -r') return 0 ;;
        'snapshot put --state'|'snapshot put -s') COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
        'snapshot put --content-type') return 0 ;;
        'subscription create --stream'|'subscription create -s') COMPREPLY=($(compgen -W "$(_cairn_streams "$cur")" -- "$cur")); return 0 ;;
        'subscription create --category'|'subscription create -c') return 0 ;;
        'subscription create --type'|'subscription create -t') return 0 ;;
        'subscription create --tag'|'subscription create -g') return 0 ;;
        'subscription create --from'|'subscription create -f') COMPREPLY=($(compgen -W 'start end' -- "$cur")); return 0 ;;
        'subscription create --ack-timeout') return 0 ;;
        'subscription create --retries') return 0 ;;
        'subscription create --retry-delay') return 0 ;;
        'subscription create --outstanding') return 0 ;;
        'subscription take --limit'|'subscription take -n') return 0 ;;
        'subscription nack --reason') return 0 ;;
        'subscription parked --limit'|'subscription parked -n') return 0 ;;
        'new --in') COMPREPLY=($(compgen -d -- "$cur")); return 0 ;;
        'deploy --note'|'deploy -m') return 0 ;;
        'deploy --expected-version'|'deploy -e') return 0 ;;
        'app --note'|'app -m') return 0 ;;
        'app --version') return 0 ;;
        'app --out'|'app -o') COMPREPLY=($(compgen -d -- "$cur")); return 0 ;;
        'command --data') COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
        'command --set'|'command -s') return 0 ;;
        'command --key'|'command -k') return 0 ;;
        'command --deadline') return 0 ;;
        'command --actor') return 0 ;;
        'command --correlation') return 0 ;;
        'command --causation') return 0 ;;
        'query --param'|'query -p') return 0 ;;
        'query --sort') return 0 ;;
        'query --limit'|'query -n') return 0 ;;
        'query --cursor') return 0 ;;
        'query --as-of') return 0 ;;
        'query --after-position') return 0 ;;
        'query --timeout') return 0 ;;
        'state --revision'|'state -r') return 0 ;;
        'replay --projection'|'replay -p') return 0 ;;
        'replay --from'|'replay -f') return 0 ;;
        'replay --parallel') return 0 ;;
        'replay --on-error') COMPREPLY=($(compgen -W 'stop skip park' -- "$cur")); return 0 ;;
        'migrate --sample') return 0 ;;
        'migrate --batch'|'migrate -b') return 0 ;;
        'migrate --backup') COMPREPLY=($(compgen -d -- "$cur")); return 0 ;;
        'migrate --rows') return 0 ;;
        'migrate --rollback') return 0 ;;
        'migrate --status') return 0 ;;
        'bench --clients'|'bench -c') return 0 ;;
        'bench --events'|'bench -n') return 0 ;;
        'bench --seconds') return 0 ;;
        'bench --size') return 0 ;;
        'bench --batch'|'bench -b') return 0 ;;
        'serve --listen') return 0 ;;
        'serve --config') COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
    esac
    case "$prev" in
        --data|-d) COMPREPLY=($(compgen -d -- "$cur")); return 0 ;;
        --cacert) COMPREPLY=($(compgen -f -- "$cur")); return 0 ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return 0 ;;
    esac
    local options=' --url --data --json --quiet --verbose --color --cacert --insecure --http2 --help' words= streams=
    case "$cmd" in
    '') words='append read follow streams stats import export verify backup restore branch scavenge reindex retention delete snapshot subscription new check deploy apps app command query state projections projection replay migrate bench serve completion version help ' ;;
    'append') options+=' --type --data --meta --tag --id --content-type --expected --unless-type --unless-tag --after --batch'; streams=1 ;;
    'read') options+=' --all --from --limit --backward --as-of --category --type --tag --since --until --system --data-only'; streams=1 ;;
    'follow') options+=' --all --from --limit --category --type --tag --since --until --system --data-only'; streams=1 ;;
    'streams') options+=' --prefix --after --limit --long' ;;
    'stats') options+='' ;;
    'import') options+=''; words='git packages xes csv ocel ndjson cloudevents ' ;;
    'import git') options+=' --prefix --rev --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import packages') options+=' --in-flight --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import xes') options+=' --prefix --tag --log-event --in-flight --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import csv') options+=' --stream --type --time --id --tag --prefix --separator --numbers --in-flight --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import ocel') options+=' --name --objects --in-flight --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import ndjson') options+=' --stream --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'import cloudevents') options+=' --stream --in-flight --batch'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'export') options+=' --stream --from --limit --as-of --category --type --tag --since --until --system --format --output' ;;
    'verify') options+='' ;;
    'backup') options+=''; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'restore') options+=' --to'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'branch') options+=' --at'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'scavenge') options+='' ;;
    'reindex') options+='' ;;
    'retention') options+=' --max-count --max-age --truncate-before'; streams=1 ;;
    'delete') options+=' --expected --tombstone'; streams=1 ;;
    'snapshot') options+=''; words='get put ' ;;
    'snapshot get') options+=''; streams=1 ;;
    'snapshot put') options+=' --revision --state --content-type'; streams=1 ;;
    'subscription') options+=''; words='create list take ack nack parked replay delete ' ;;
    'subscription create') options+=' --stream --category --type --tag --from --ack-timeout --retries --retry-delay --outstanding' ;;
    'subscription list') options+='' ;;
    'subscription take') options+=' --limit --ack' ;;
    'subscription ack') options+='' ;;
    'subscription nack') options+=' --park --reason' ;;
    'subscription parked') options+=' --limit' ;;
    'subscription replay') options+='' ;;
    'subscription delete') options+='' ;;
    'new') options+=' --typescript --in' ;;
    'check') options+=' --types'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'deploy') options+=' --note --dry-run --expected-version'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'apps') options+='' ;;
    'app') options+=' --note --version --out' ;;
    'command') options+=' --data --set --key --deadline --actor --correlation --causation' ;;
    'query') options+=' --param --sort --limit --cursor --all --as-of --after-position --timeout --csv' ;;
    'state') options+=' --revision' ;;
    'projections') options+='' ;;
    'projection') options+='' ;;
    'replay') options+=' --projection --aggregates --decisions --from --parallel --on-error' ;;
    'migrate') options+=' --dry-run --sample --batch --backup --no-backup --rows --rollback --status --force'; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- "$cur")); return 0; } ;;
    'bench') options+=' --clients --events --seconds --size --batch'; words='append read stream follow' ;;
    'serve') options+=' --listen --config' ;;
    'completion') options+=''; words='bash zsh fish' ;;
    'version') options+='' ;;
    'help') options+=' --man'; words='append read follow streams stats import export verify backup restore branch scavenge reindex retention delete snapshot subscription new check deploy apps app command query state projections projection replay migrate bench serve completion version help ' ;;
    esac
    if [[ $cur == -* ]]; then words=$options
    elif [[ -n $streams ]]; then words=$(_cairn_streams "$cur"); fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o filenames -F _cairn cairn
