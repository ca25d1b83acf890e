//! Where a model computes, and in which numbers.

use std::fmt;

/// Where a worker computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

/// The numbers that a model computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits, 11 of them precision.
    F16,
    /// 16 bits, 8 of them precision, with the range of 32.
    Bf16,
}

/// Where a loaded model computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// One worker each.
    pub devices: Vec<Device>,
    /// The same for all of them, so that their scores are the same.
    pub dtype: Dtype,
    /// Why that is not what it could be.
    pub remark: Option<String>,
}

// === impl Device ===

impl fmt::Display for Device {
    /// As the configuration names it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

// === impl Dtype ===

impl fmt::Display for Dtype {
    /// As the configuration names it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

// === impl Placement ===

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices: Vec<String> = self.devices.iter().map(Device::to_string).collect();
        write!(formatter, "{} in {}", devices.join(" and "), self.dtype)?;
        self.remark.iter().try_for_each(|remark| write!(formatter, " ({remark})"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Device, Dtype, Placement};

    #[test]
    fn a_placement_is_said_in_the_words_of_the_configuration() {
        let one = Placement { devices: vec![Device::Cpu], dtype: Dtype::F32, remark: Some("no CUDA device: libcuda is missing".into()) };
        assert_eq!(one.to_string(), "cpu in f32 (no CUDA device: libcuda is missing)");
        let two = Placement { devices: vec![Device::Cuda(0), Device::Cuda(1)], dtype: Dtype::Bf16, remark: None };
        assert_eq!(two.to_string(), "cuda:0 and cuda:1 in bf16");
    }
}
