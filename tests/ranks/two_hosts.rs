//! Ranks on two hosts, which network namespaces of this machine stand for (`tools/two-hosts.sh`).

use crate::peers::skip;
use crate::{command, launchers};
use std::path::Path;
use std::process::Command;

#[test]
fn two_hosts_have_the_bits_of_one() {
    let ip = |action: &str| {
        let name = format!("bcreid-probe-{}", std::process::id());
        let output = Command::new("ip").args(["netns", action, &name]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let may_make_namespaces = ip("add") && ip("del");
    if launchers::launchers().len() < 2 {
        return;
    }
    if !may_make_namespaces {
        skip("two hosts need root, network namespaces and ip (iproute2)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/two-hosts.sh");
    let said = command::succeed(Command::new(script).arg(env!("CARGO_BIN_EXE_bcreid")));
    assert!(said.contains("two hosts: the bits of one; "), "{said}");
}
