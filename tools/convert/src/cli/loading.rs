//! The Python lines that load an exported network whose last stage strides by 1, which a state dict does not hold, or
//! whose output is its feature.

use bcreid::config::{Arch, Model};
use bcreid::error::printable;
use bcreid::model::resnet::Spec;
use std::path::Path;

/// The lines for a network that was written to `out`, whose layer `fc` has `rows` outputs if there is one.
pub fn lines(model: &Model, rows: Option<usize>, out: &Path) -> Vec<String> {
    let spec = Spec::of(model);
    let mut lines = vec!["import torch, torchvision".to_string()];
    match constructor(model) {
        Some(name) => {
            let rows = rows.map_or(String::new(), |rows| format!("num_classes={rows}"));
            lines.push(format!("model = torchvision.models.{name}({rows})"));
        }
        None => lines.push("model = ...  # a ResNet of these widths and depths".into()),
    }
    if rows.is_none() {
        lines.push("model.fc = torch.nn.Identity()".into());
    }
    if model.last_stride == 1 {
        // Where torchvision's block strides.
        let conv = if spec.bottleneck { "conv2" } else { "conv1" };
        lines.push(format!("model.layer4[0].{conv}.stride = model.layer4[0].downsample[0].stride = (1, 1)"));
    }
    let name = printable(&out.display().to_string());
    lines.push(match out.extension().is_some_and(|extension| extension == "safetensors") {
        true => format!("import safetensors.torch; state = safetensors.torch.load_file({name:?})"),
        false => format!("state = torch.load({name:?}, weights_only=True)"),
    });
    lines.push("model.load_state_dict(state)".into());
    lines
}

/// The constructor of torchvision for a network of its own widths and depths.
fn constructor(model: &Model) -> Option<&'static str> {
    let name = match model.arch {
        Arch::Resnet18 => "resnet18",
        Arch::Resnet34 => "resnet34",
        Arch::Resnet50 => "resnet50",
        Arch::Resnet101 => "resnet101",
        Arch::Resnet152 => "resnet152",
        Arch::Slim => return None,
    };
    let own = Spec::of(&Model { arch: model.arch, ..Model::default() });
    let spec = Spec::of(model);
    let same = (spec.width, spec.stem, spec.depths) == (own.width, own.stem, own.depths);
    same.then_some(name)
}
