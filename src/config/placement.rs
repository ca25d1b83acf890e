//! Where a model computes: the keys `device` and `dtype`.

use rerank_plugin::{Device, Dtype};

use super::reader::{Item, Reported};

/// The word for whatever is best here.
const AUTO: &str = "auto";
const DEVICE: &str =
    "must be \"auto\", \"cpu\", a CUDA device such as \"cuda:0\", or a list of devices such as [\"cuda:0\", \"cuda:1\"], one worker each";
/// What `dtype` may be, beside [`AUTO`].
pub(super) const DTYPES: [(&str, Option<Dtype>); 4] =
    [(AUTO, None), ("f32", Some(Dtype::F32)), ("f16", Some(Dtype::F16)), ("bf16", Some(Dtype::Bf16))];

/// Returns the devices that are named, each once; none for `auto`.
pub(super) fn devices(item: &Item<'_>) -> Result<Vec<Device>, Reported> {
    if item.is_list() {
        let mut named = Vec::new();
        return item.each(DEVICE, |listed| {
            if matches!(listed.text(DEVICE)?, AUTO) {
                return Err(listed.refuse("stands alone; a list names its devices"));
            }
            let device = device(listed)?;
            if named.contains(&device) {
                return Err(listed.refuse("stands twice; a device has one worker"));
            }
            named.push(device);
            Ok(device)
        });
    }
    if item.text(DEVICE)? == AUTO { Ok(Vec::new()) } else { device(item).map(|device| vec![device]) }
}

fn device(item: &Item<'_>) -> Result<Device, Reported> {
    let text = item.text(DEVICE)?;
    // As the device is shown, so that one has one name.
    let number = text.strip_prefix("cuda:").and_then(|number| number.parse::<u16>().ok()).map(|number| Device::Cuda(number.into()));
    let named = if text == "cpu" { Some(Device::Cpu) } else { number.filter(|device| device.to_string() == text) };
    named.ok_or_else(|| item.refuse(DEVICE))
}
