//! Grouping of a net's layers by the parts of a ResNet: by the connections in the file, else by the names of He's
//! release.

use super::coverage;
use super::graph::{Graph, Value};
use super::names::{Place, Role, Unit, place};
use super::net::{Layer, Net};
use super::stages;
use super::trunk::{refuse_other_arithmetic, refuse_strays};
use super::walk::{self, Convolved, Trunk};
use super::wire::Fault;
use crate::display::quoted;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the first pooling in He's release.
const POOL1: &str = "pool1";

/// Layers of each kind, by unit.
#[derive(Debug, Default)]
pub struct Units<'a> {
    /// Convolutions, with weights.
    pub convolutions: BTreeMap<Unit, &'a Layer>,
    /// Batch norm layers, with statistics.
    pub batch_norms: BTreeMap<Unit, &'a Layer>,
    /// Scale layers, with gamma and beta.
    pub scales: BTreeMap<Unit, &'a Layer>,
    /// Pooling after the stem, if present.
    pub pool1: Option<&'a Layer>,
    /// Inner product after pool5.
    pub classifier: Option<&'a Layer>,
    /// Layers with weights that do not affect the features.
    pub others: Vec<&'a Layer>,
    /// True if the connections show that these are all layers of the network.
    pub is_whole: bool,
}

impl<'a> Units<'a> {
    /// Groups the layers of a net by its connections, if they lead from a convolution to an average pooling, else by
    /// names.
    pub fn of(net: &'a Net, notes: &mut Vec<String>) -> Result<Self, Fault> {
        let graph = Graph::new(&net.layers);
        match walk::find(&graph, &net.layers) {
            Some(found) => Self::by_wires(net, &graph, &found?, notes),
            None => match graph.disorder() {
                Some(disorder) => Err(disorder),
                None => Self::by_names(net, &graph),
            },
        }
    }

    fn by_wires(
        net: &'a Net,
        graph: &Graph<'a>,
        trunk: &Trunk<'a>,
        notes: &mut Vec<String>,
    ) -> Result<Self, Fault> {
        let mut units = stages::place(trunk)?;
        let size = graph.writer(trunk.data).map_or(net.map, |data| graph.layer(data).map);
        coverage::check(trunk, size, notes)?;
        units.is_whole = true;
        units.classifier = classifier(graph, trunk.features);
        let parts = [&units.convolutions, &units.batch_norms, &units.scales];
        let placed = parts.into_iter().flat_map(|part| part.values()).chain(&units.classifier);
        let placed: BTreeSet<usize> = placed.map(|layer| layer.number).collect();
        units.others = net.weighted().filter(|layer| !placed.contains(&layer.number)).collect();
        notes.push(format!(
            "mapped by the wires of its layers, from {} to {}",
            quoted(&trunk.stem.convolution.name),
            quoted(&trunk.pool5.name)
        ));
        Ok(units)
    }

    /// Inserts the layers of a unit.
    pub fn insert(&mut self, unit: Unit, parts: Convolved<'a>) {
        self.convolutions.insert(unit, parts.convolution);
        self.batch_norms.insert(unit, parts.batch_norm);
        if let Some(scale) = parts.scale {
            self.scales.insert(unit, scale);
        }
    }

    fn by_names(net: &'a Net, graph: &Graph<'a>) -> Result<Self, Fault> {
        let pool1 = net.layer(POOL1).filter(|layer| layer.blobs.is_empty());
        if let Some(pool1) = pool1 {
            expect_kind(pool1, "Pooling")?;
        }
        let mut units = Units { pool1, ..Units::default() };
        for layer in net.weighted() {
            let (map, unit, role) = match place(&layer.name) {
                Some(Place::Unit(unit, role @ Role::Convolution)) => (&mut units.convolutions, unit, role),
                Some(Place::Unit(unit, role @ Role::BatchNorm)) => (&mut units.batch_norms, unit, role),
                Some(Place::Unit(unit, role @ Role::Scale)) => (&mut units.scales, unit, role),
                Some(Place::Classifier) if units.classifier.is_none() => {
                    units.classifier = Some(layer);
                    continue;
                }
                Some(Place::Classifier) | None => {
                    units.others.push(layer);
                    continue;
                }
            };
            expect_kind(layer, role.kind())?;
            if let Some(other) = map.insert(unit, layer) {
                return Err(format!("{} and {} are the same part of a ResNet", other.title(), layer.title()));
            }
        }
        let is_wired = graph.depths().into_iter().max() >= Some(2);
        if is_wired && units.convolutions.is_empty() && units.batch_norms.is_empty() {
            let whose = if net.is_described { "the prototxt's" } else { "its" };
            return Err(format!(
                "{whose} wires lead from convolution to convolution and to no average pooling behind them, from which \
                 a ResNet takes its features: it is none, or cut short (--list shows its layers)"
            ));
        }
        let placed =
            units.convolutions.values().chain(units.batch_norms.values()).chain(units.scales.values());
        refuse_strays(net, placed.copied(), &units.others)?;
        refuse_other_arithmetic(net)?;
        Ok(units)
    }

    /// Checks for missing layers.
    pub fn check_complete(&self) -> Result<(), Fault> {
        if let Some((_, scale)) = self.scales.iter().find(|(unit, _)| !self.batch_norms.contains_key(unit)) {
            return Err(format!(
                "{} has no batch norm that it scales; is the model complete?",
                scale.title()
            ));
        }
        let unscaled = self.batch_norms.iter().find(|(unit, _)| !self.scales.contains_key(unit));
        let stray = self.others.iter().find(|layer| layer.kind == Role::Scale.kind());
        if let (Some((_, batch_norm)), Some(stray), false) = (unscaled, stray, self.is_whole) {
            return Err(format!(
                "{} has no Scale layer, and {} is one without a place: name it as He's release does, or take it out \
                 if it belongs to a head",
                batch_norm.title(),
                quoted(&stray.name)
            ));
        }
        let biased = |(unit, layer): &(&Unit, &&Layer)| {
            layer.blobs.len() > 1 && **unit != Unit::Stem && !self.batch_norms.contains_key(unit)
        };
        match self.convolutions.iter().find(biased) {
            Some((_, layer)) => Err(format!(
                "{} has a bias and no batch norm: the batch norms of this model were merged into its convolutions; \
                 convert the model as it was before that",
                layer.title()
            )),
            None => Ok(()),
        }
    }
}

/// First inner product that reads the features.
fn classifier<'a>(graph: &Graph<'a>, features: Value) -> Option<&'a Layer> {
    let readers = graph.readers(features).iter().map(|&reader| graph.layer(reader));
    readers.into_iter().find(|layer| layer.kind == "InnerProduct" && !layer.blobs.is_empty())
}

/// Checks that a layer has the type that its name implies, if the file states types.
pub fn expect_kind(layer: &Layer, kind: &str) -> Result<(), Fault> {
    if layer.kind.is_empty() || layer.kind == kind {
        return Ok(());
    }
    Err(format!("layer {} is of type {}; a ResNet's is a {kind}", layer.title(), quoted(&layer.kind)))
}
