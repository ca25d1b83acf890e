//! Where a model computes: the keys `device`, `dtype` and `threads`.

use std::thread::available_parallelism;

use rerank_plugin::{Device, Dtype};

use super::reader::{Given, Item, Reported, Table, whole};

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

/// Returns how many threads a worker on the processor has; they are refused where no such worker is named.
pub(super) fn threads(table: &mut Table<'_>, devices: &Given<'_, Vec<Device>>) -> usize {
    let threads = table.read("threads", whole(1..=1024));
    let elsewhere = devices.get().is_some_and(|named| !named.is_empty() && !named.contains(&Device::Cpu));
    if elsewhere && threads.is_given() {
        threads.refuse("are those of a worker on the processor, and `device` names none; leave it out, or name \"cpu\" too");
    }
    threads.optional().map_or_else(spare_cores, |threads| threads as usize)
}

/// One core is left to the connections.
fn spare_cores() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}
