package memorymap

import "testing"

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"policyName":"static","defaultCpuSet":"0-3","entries":{"a":{"b":"1,2"}},"checksum":1}`))
	f.Add([]byte(`{"Data":{"PodDeviceEntries":[{"PodUID":"a"}],"RegisteredDevices":{"a/b":["c"]}},"Checksum":2}`))
	f.Add([]byte(`{"machineState":{"0":{"numberOfAssignments":1}},"entries":{"a":{"b":[{"numaAffinity":[0],"type":"memory","size":1}]}},"checksum":3}`))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _ = decode(in)
	})
}

func FuzzReserved(f *testing.F) {
	f.Add("0:memory=1Gi,hugepages-2Mi=2")
	f.Add("0:memory=1Gi;1:memory=2Gi")
	f.Add(":")
	f.Fuzz(func(_ *testing.T, in string) {
		_ = ParseReserved(in, Reserved{})
	})
}
