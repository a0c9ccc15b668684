package plugin

// ImageLocality prefers nodes that have the pod's images, weighed by size and by how many nodes have them, so that one
// popular node does not draw every pod.
type ImageLocality struct {
	static
	absolute
}

// Sums below the first give nothing, sums above the second (per image) give all (upstream's image_locality.go).
const (
	leastImageBytes int64 = 23 << 20
	mostImageBytes  int64 = 1000 << 20
)

// Name implements Plugin.
func (ImageLocality) Name() string { return "ImageLocality" }

// Score implements Score.
func (ImageLocality) Score(pod *Pod, node *Node, cluster Cluster) int64 {
	if len(pod.images) == 0 || cluster.Nodes == 0 {
		return 0
	}
	var sum int64
	for _, image := range pod.images {
		if size, ok := node.Images[image]; ok {
			sum += int64(float64(size) * float64(cluster.ImageNodes[image]) / float64(cluster.Nodes))
		}
	}
	most := mostImageBytes * int64(len(pod.images))
	sum = min(max(sum, leastImageBytes), most)
	return MaxScore * (sum - leastImageBytes) / (most - leastImageBytes)
}

// Helps implements Plugin; it never rejects.
func (ImageLocality) Helps(*Pod, Change) bool { return false }
