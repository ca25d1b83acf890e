//! Opens the device that a worker computes on.

use candle_core::Device as CandleDevice;
use rerank_plugin::{Device, LoadError};

/// Returns candle's handle of a device.
///
/// # Errors
/// [`LoadError::Unsupported`] for a device that this build cannot use.
pub fn open(device: Device) -> Result<CandleDevice, LoadError> {
    match device {
        Device::Cpu => Ok(CandleDevice::Cpu),
        Device::Cuda(number) => Err(LoadError::Unsupported {
            reason: format!("device cuda:{number} is asked for, and this build runs on the processor only"),
            remedy: "use the device cpu".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use rerank_plugin::Device;

    #[test]
    fn a_device_that_this_build_lacks_is_named() {
        assert!(super::open(Device::Cpu).is_ok());
        let error = super::open(Device::Cuda(3)).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("device cuda:3 is asked for, and this build runs on the processor only; use the device cpu"));
    }
}
