#!/usr/bin/env bash
# The part of scripts/test-deb.sh that runs inside the clean system, as root: test-deb-inside.sh PART, where PART is
# a function below. The package is /package.deb.
set -euo pipefail

# shellcheck source=scripts/checks.sh
source /checks.sh

no_file() {
    local found
    found=$(find / -xdev "$@" -print)
    [[ -z $found ]] || { echo "$found" && return 1; }
}

install_package() { apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@"; }

has_all_libraries() { ends_with 1 grep 'not found' <<<"$(ldd /usr/bin/vpcctl /usr/bin/vpclab /usr/sbin/vpcd /usr/sbin/vpcgw)"; }

has_the_packages_version() {
    local version
    version=$(dpkg-query -W -f '${Version}' vpcctl)
    [[ $("$1" --version) == "${version%-*}" ]]
}

refuses_a_bad_configuration() {
    sed 's/^#revisions: 50/revisions: many/' /etc/vpcctl/vpcd.yaml >/tmp/bad.yaml
    ends_with 65 vpcd --config /tmp/bad.yaml --check 2>/tmp/error
    contains '^/tmp/bad.yaml:[0-9]*:12: error: revisions must be an integer' /tmp/error
}

needs_the_right() {
    ends_with 77 setpriv --bounding-set=-all --inh-caps=-all --reuid=nobody --clear-groups \
        vpcctl apply -f /usr/share/doc/vpcctl/examples/one-host.yaml --host h1
}

is_a_manual() { contains '^\.Sh SEE ALSO' <(zcat "/usr/share/man/$1.gz"); }

manuals_name_files_that_exist() {
    zcat /usr/share/man/man?/vpc*.gz | sed 's/\\//g' | grep -oE '/usr/[a-z/.-]+[a-z]' | sort -u | xargs ls -d
}

completes_in_bash() {
    shopt -s extglob
    # shellcheck disable=SC1091 # a file of the package
    source /usr/share/bash-completion/completions/vpcctl
    local COMP_LINE='vpcctl va' COMP_POINT=9 COMP_WORDS=(vpcctl va) COMP_CWORD=1 COMPREPLY=()
    _vpcctl vpcctl va vpcctl
    [[ ${COMPREPLY[*]} == validate ]]
}

is_a_conffile() { contains ' /etc/vpcctl/vpcd.yaml ' <(dpkg-query -W -f '${Conffiles}' vpcctl); }
finds_no_fault() { systemd-analyze --man=no verify vpcd.service vpcgw.service 2>&1 | ends_with 1 grep .; }

first_installation() {
    check "there is no Swift here" no_file -name 'libswift*'
    check "apt installs the package and what it depends on" install_package /package.deb
    check "every library is found" has_all_libraries
    for program in vpcctl vpclab vpcd vpcgw; do check "$program runs" has_the_packages_version "$program"; done
    for example in /usr/share/doc/vpcctl/examples/*.yaml; do
        check "$(basename "$example") is valid" vpcctl validate -f "$example"
    done
    check "the configuration is valid" vpcd --check
    check "a bad one is refused with its place" refuses_a_bad_configuration
    check "apply without the right is refused" needs_the_right
    for page in man1/vpcctl.1 man1/vpclab.1 man5/vpcd.yaml.5 man8/vpcd.8 man8/vpcgw.8; do check "$page" is_a_manual $page; done
    check "manuals name files that exist" manuals_name_files_that_exist
    check "bash completes" completes_in_bash
    check "so may zsh" ls /usr/share/zsh/vendor-completions/_{vpcctl,vpclab,vpcd,vpcgw}
    check "and fish" ls /usr/share/fish/vendor_completions.d/{vpcctl,vpclab,vpcd,vpcgw}.fish
    check "the group is there" getent group vpcctl
    check "the daemon will start with the system" systemctl is-enabled vpcd
    check "systemd finds no fault with the unit" finds_no_fault
    check "the configuration is a conffile" is_a_conffile
    check "no file differs from the package's" dpkg --verify vpcctl
}

upgrade() {
    echo "# by hand" >>/etc/vpcctl/vpcd.yaml
    mkdir -p /var/lib/vpcctl/revisions/1
    touch /var/lib/vpcctl/revisions/1/revision.json
    check "it installs over itself" install_package --reinstall /package.deb
    check "what was written by hand stays" contains "^# by hand" /etc/vpcctl/vpcd.yaml
    check "revisions stay" test -e /var/lib/vpcctl/revisions/1/revision.json
    systemctl disable vpcd 2>/dev/null
    check "it installs over itself when it is disabled" install_package --reinstall /package.deb
    check "and stays disabled" prints disabled systemctl is-enabled vpcd
}

removal() {
    apt-get -q -y remove vpcctl >/tmp/removal 2>&1
    check "removal says what stays" contains "the kernel goes on forwarding" /tmp/removal
    check "the programs are gone" no_file '(' -name vpcctl -o -name vpclab -o -name vpcd ')' -path '*bin*'
    check "configuration and revisions stay" ls /etc/vpcctl/vpcd.yaml /var/lib/vpcctl/revisions/1/revision.json
    check "it comes back" install_package /package.deb
    check "with what was written by hand" contains "^# by hand" /etc/vpcctl/vpcd.yaml
    apt-get -q -y purge vpcctl >/tmp/purge 2>&1
    check "purging names what takes kernel objects away" contains "vpcctl delete" /tmp/purge
    check "purging leaves no file" no_file '(' -name '*vpcctl*' -o -name '*vpcd*' -o -name '*vpclab*' ')'
    check "the group stays, for files may belong to it" getent group vpcctl
}

# The system that scripts/test-unit.sh starts.
with_tools() {
    check "it installs with the tools of the next test" install_package /package.deb iproute2 iputils-ping
}

"$1"
