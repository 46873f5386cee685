//! What an arm's network is: family, size, skip connections, with the defaults of each family.

use super::experiment::{Family, Init, ModelSpec};
use super::resolve::{Resolved, checked};
use super::typed::{TypedArm, TypedModel};

/// Deepest network accepted: beyond ResNet-1202, the deepest of the original paper.
const MAX_DEPTH: i64 = 1202;
/// Layers with weights of a VGG-9.
const VGG9_DEPTH: i64 = 9;
/// Widest first stage accepted, widening included: 16 channels times 64.
const MAX_WIDTH: i64 = 1024;
/// The arms of a config that tells none: the twins, or the one network that has no twin.
pub(super) fn usual_arms(family: Family) -> Vec<TypedArm> {
    let arm =
        |name: &str, skip| TypedArm { name: Some(name.to_owned()), skip, ..TypedArm::default() };
    match family {
        Family::Resnet => vec![arm("skip", Some(true)), arm("noskip", Some(false))],
        Family::Vgg9 => vec![arm("vgg9", None)],
    }
}

/// Whether the arm `name` has skip connections.
pub(super) fn skip(arm: &TypedArm, shared: &TypedModel, name: &str) -> Resolved<bool> {
    match arm.family.or(shared.family).unwrap_or(Family::Resnet) {
        Family::Resnet => Ok(arm.skip.unwrap_or(true)),
        Family::Vgg9 => {
            let expected = "false or nothing: a vgg9 has no skip connections";
            checked(&format!("arm {name}.skip"), arm.skip.unwrap_or(false), |skip| !skip, expected)
        }
    }
}

/// Layers with weights.
fn depth(depth: Option<i64>, family: Family, key: &str) -> Resolved<i64> {
    match family {
        Family::Resnet => {
            let fits = |d: &i64| (8..=MAX_DEPTH).contains(d) && (d - 2) % 6 == 0;
            let expected = "6n+2 from 8 to 1202, as in 8, 14, 20, 32, 44, 56, 110";
            checked(key, depth.unwrap_or(56), fits, expected)
        }
        Family::Vgg9 => checked(
            key,
            depth.unwrap_or(VGG9_DEPTH),
            |d| *d == VGG9_DEPTH,
            "9 or nothing: a vgg9 has nine layers",
        ),
    }
}

/// The network of an arm, by its own keys and those of `[model]`; `section` is what errors call it.
pub(super) fn model(own: &TypedModel, shared: &TypedModel, section: &str) -> Resolved<ModelSpec> {
    let key = |k: &str| format!("{section}.{k}");
    let family = own.family.or(shared.family).unwrap_or(Family::Resnet);
    // What `[model]` says of another family's size is not this arm's.
    let same = shared.family.unwrap_or(Family::Resnet) == family;
    let sized = |own: Option<i64>, shared: Option<i64>| own.or(shared.filter(|_| same));
    let depth = depth(sized(own.depth, shared.depth), family, &key("depth"))?;
    // Of the default run, and of the published network.
    let usual = match family {
        Family::Resnet => 8,
        Family::Vgg9 => 64,
    };
    let width = sized(own.width, shared.width).unwrap_or(usual);
    let widen = sized(own.widen, shared.widen).unwrap_or(1);
    let fits = width >= 1 && widen >= 1 && width.checked_mul(widen).is_some_and(|w| w <= MAX_WIDTH);
    checked(
        &key("width x widen"),
        format!("{width} x {widen}"),
        |_| fits,
        "1 to 1024 channels in the first stage",
    )?;
    Ok(ModelSpec {
        family,
        depth,
        width,
        widen,
        init: own.init.or(shared.init).unwrap_or(Init::KaimingNormal),
    })
}

#[cfg(test)]
mod tests {
    use super::super::resolve::resolve;
    use super::*;

    #[test]
    fn a_vgg9_has_one_arm_and_what_the_paper_says() {
        let e = resolve(&toml::from_str("[model]\nfamily = 'vgg9'\n").unwrap()).unwrap();
        let arms: Vec<_> = e.arms.values().map(|a| (a.name.as_str(), a.skip, a.model)).collect();
        let init = Init::KaimingNormal;
        let model = ModelSpec { family: Family::Vgg9, depth: 9, width: 64, widen: 1, init };
        assert_eq!(arms, [("vgg9", false, model)]);
        // Beside ResNets, whose depth and width are not its own.
        let text = "[model]\ndepth = 20\nwidth = 4\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\nfamily = 'vgg9'";
        let e = resolve(&toml::from_str(text).unwrap()).unwrap();
        let told: Vec<_> = e
            .arms
            .values()
            .map(|a| (a.skip, a.model.family, a.model.depth, a.model.width))
            .collect();
        assert_eq!(told, [(true, Family::Resnet, 20, 4), (false, Family::Vgg9, 9, 64)]);
        let text = toml::to_string(&e.to_typed()).unwrap();
        assert_eq!(resolve(&toml::from_str(&text).unwrap()).unwrap(), e);
    }
}
