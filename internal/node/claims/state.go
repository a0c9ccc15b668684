package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"

	"sampan.dev/internal/node/checkpoint"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// File is the name of the checkpoint.
const File = "dra_manager_state"

// claim is one that pods of the node have. The exported fields are upstream's, in the checkpoint's form.
type claim struct {
	ClaimUID    types.UID
	ClaimName   string
	Namespace   string
	PodUIDs     sets.Set[string]
	DriverState map[string]driverState // of each driver that has devices for it

	prepared    bool // by all drivers, in this run of the kubelet
	unpreparing bool // no pod may begin to use it
}

type driverState struct {
	Devices []device
}

// device is one that a driver has prepared.
type device struct {
	PoolName     string
	DeviceName   string
	ShareID      *types.UID
	RequestNames []string
	CDIDeviceIDs []string
}

// serves reports whether a device is for a request; "" is for all.
func (d *device) serves(request string) bool {
	return request == "" || len(d.RequestNames) == 0 || slices.Contains(d.RequestNames, request)
}

func claimOf(k *resourcev1.ResourceClaim) (*claim, error) {
	if k.Status.Allocation == nil {
		return nil, errors.New("not allocated")
	}
	c := &claim{ClaimUID: k.UID, ClaimName: k.Name, Namespace: k.Namespace, PodUIDs: sets.New[string](), DriverState: map[string]driverState{}}
	for _, r := range k.Status.Allocation.Devices.Results {
		if len(r.SkipNodeOperations) > 0 {
			return nil, errors.New("DRAOptionalNodeOperations feature gate is disabled on kubelet")
		}
		c.DriverState[r.Driver] = driverState{}
	}
	return c, nil
}

// file is the checkpoint; Data is contents as JSON.
type file struct {
	Data     string
	Checksum uint32
}

type contents struct {
	metav1.TypeMeta
	ClaimInfoStateList []claim
}

// load reads the claims of an earlier run, by namespace and name.
func load(path string) (map[string]*claim, error) {
	all := map[string]*claim{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	var f file
	var c contents
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && crc32.ChecksumIEEE([]byte(f.Data)) != f.Checksum {
		err = checkpoint.ErrCorrupt
	}
	if err == nil {
		err = json.Unmarshal([]byte(f.Data), &c)
	}
	if err != nil {
		return nil, fmt.Errorf("could not initialize checkpoint manager, please drain node and remove DRA state file %s, err: %w", path, err)
	}
	for i := range c.ClaimInfoStateList {
		one := &c.ClaimInfoStateList[i]
		all[key(one.Namespace, one.ClaimName)] = one
	}
	return all, nil
}

// save replaces the checkpoint.
func save(path string, all map[string]*claim) error {
	c := contents{TypeMeta: metav1.TypeMeta{Kind: "DRACheckpoint", APIVersion: "checkpoint.dra.kubelet.k8s.io/v1"}, ClaimInfoStateList: []claim{}}
	for _, one := range all {
		c.ClaimInfoStateList = append(c.ClaimInfoStateList, *one)
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	text, err := json.Marshal(file{Data: string(data), Checksum: crc32.ChecksumIEEE(data)})
	if err != nil {
		return err
	}
	return checkpoint.Write(path, text)
}

func key(namespace, name string) string { return namespace + "/" + name }
