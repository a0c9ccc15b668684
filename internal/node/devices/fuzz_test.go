package devices

import "testing"

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"policyName":"static","defaultCpuSet":"0-3","entries":{"a":{"b":"1,2"}},"checksum":1}`))
	f.Add([]byte(`{"Data":{"PodDeviceEntries":[{"PodUID":"a"}],"RegisteredDevices":{"a/b":["c"]}},"Checksum":2}`))
	f.Add([]byte(`{"machineState":{"0":{"numberOfAssignments":1}},"entries":{"a":{"b":[{"numaAffinity":[0],"type":"memory","size":1}]}},"checksum":3}`))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _, _ = decode(in)
	})
}
