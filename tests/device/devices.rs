//! Two device objects: their streams do not wait for each other, so that tensors of both in one operation are an error.

use crate::support::on_device;
use bcreid::device::cuda::CudaDevice;
use bcreid::device::{Device, Precision};
use bcreid::element::GradMode;
use bcreid::tensor::Tensor;

#[test]
fn tensors_of_two_devices_do_not_mix() {
    on_device("devices::tensors_of_two_devices_do_not_mix", |device, gpu| {
        let other_gpu = CudaDevice::open(0, Precision::F32).unwrap();
        let other = Device::Cuda(other_gpu.clone());
        let (mut here, there) =
            (Tensor::zeros(device, [100]).unwrap(), Tensor::full(&other, [100], 1.0).unwrap());
        let copied = here.copy_from(&there).unwrap_err().to_string();
        assert!(copied.contains("between buffers of two device objects"), "{copied}");
        let added = here.store(&there, GradMode::Accumulate).unwrap_err().to_string();
        assert!(added.contains("kernel add") && added.contains("is on another device object"), "{added}");
        let (early, late) = (gpu.mark().unwrap(), other_gpu.mark().unwrap());
        let timed = late.seconds_since(&early).unwrap_err().to_string();
        assert!(timed.contains("two device objects"), "{timed}");
        assert_eq!(here.to_host_f32().unwrap(), [0.0; 100]);
        assert_eq!(there.to_host_f32().unwrap(), [1.0; 100]);
    });
}
