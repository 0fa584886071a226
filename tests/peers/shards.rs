//! Galleries in shards, handed over to programs that search beyond one machine.

use crate::command::succeed;
use crate::features::{convert, made_up};
use crate::{bcreid, check, python};
use bcreid::weights::Features;

/// FAISS, LanceDB and DuckDB find in two shards what `bcreid query` finds in the whole gallery.
#[test]
fn three_programs_find_in_shards_what_a_query_finds() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (rows, dim) = (4000, 256);
    let gallery = made_up(rows, dim, 5);
    gallery.write(&at("gallery.safetensors")).unwrap();
    let shards = ["gallery-00001-of-00002", "gallery-00002-of-00002"];
    for (name, range) in shards.iter().zip([0..1984, 1984..rows]) {
        let paths = gallery.paths()[range.clone()].to_vec();
        let (pids, camids) =
            (gallery.pids()[range.clone()].to_vec(), gallery.camids()[range.clone()].to_vec());
        let values = gallery.features()[range.start * dim..range.end * dim].to_vec();
        let shard = Features::new(values, dim, pids, camids, paths).unwrap();
        shard.write(&at(&format!("{name}.safetensors"))).unwrap();
        convert(&at(&format!("{name}.safetensors")), &at(&format!("{name}.arrow")));
    }
    made_up(40, dim, 6).write(&at("query.safetensors")).unwrap();
    convert(&at("query.safetensors"), &at("query.npy"));
    let mut query = bcreid();
    query.args(["query", "--top", "50", "--features"]).arg(at("query.safetensors"));
    succeed(query.arg("--gallery").arg(at("gallery.safetensors")).arg("--json").arg(at("found.json")));
    let arrows = shards.map(|name| at(&format!("{name}.arrow")));
    check(&python, "shards_check.py", &[&[at("query.npy"), at("found.json")][..], &arrows].concat());
}
