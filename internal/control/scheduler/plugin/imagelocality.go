package plugin

// ImageLocality prefers nodes that have the pod's images, weighed by size and by how many nodes have them, so that one
// popular node does not draw every pod. Its index counts the nodes that have an image; make one with NewImageLocality.
type ImageLocality struct {
	static
	absolute
	nodes int            // those that are there
	with  map[string]int // of them, those that have an image, by its normalized name
}

// Sums below the first give nothing, sums above the second (per image) give all (upstream's image_locality.go).
const (
	leastImageBytes int64 = 23 << 20
	mostImageBytes  int64 = 1000 << 20
)

// NewImageLocality returns an ImageLocality that knows of no node yet.
func NewImageLocality() *ImageLocality { return &ImageLocality{with: map[string]int{}} }

// Name implements Plugin.
func (*ImageLocality) Name() string { return "ImageLocality" }

// Sign implements Signed.
func (*ImageLocality) Sign(s *Signer) { s.Images() }

// Score implements Score.
func (p *ImageLocality) Score(pod *Pod, node *Node) int64 {
	if len(pod.images) == 0 || p.nodes == 0 {
		return 0
	}
	var sum int64
	for _, image := range pod.images {
		if size, ok := node.Images[image]; ok {
			sum += int64(float64(size) * float64(p.with[image]) / float64(p.nodes))
		}
	}
	most := mostImageBytes * int64(len(pod.images))
	sum = min(max(sum, leastImageBytes), most)
	return MaxScore * (sum - leastImageBytes) / (most - leastImageBytes)
}

// Node implements Index.
func (p *ImageLocality) Node(before, after *Node) {
	p.count(before, -1)
	p.count(after, +1)
}

func (p *ImageLocality) count(n *Node, by int) {
	if n.Known() {
		p.nodes += by
	}
	for image := range n.Images {
		if p.with[image] += by; p.with[image] <= 0 {
			delete(p.with, image)
		}
	}
}

// Pod implements Index; pods do not matter.
func (*ImageLocality) Pod(*Pod, *Node, int) {}

// Since implements Index. The version is a hash of the counts of the pod's images, and of the number of nodes when any node
// has one of them: they are all that a score depends on beside the node.
func (p *ImageLocality) Since(pod *Pod, version uint64) ([]string, uint64, bool) {
	var h uint64
	for _, image := range pod.images {
		h = h*1000003 + uint64(p.with[image])
	}
	if h != 0 {
		h = h*1000003 + uint64(p.nodes)
	}
	return nil, h, h == version
}
