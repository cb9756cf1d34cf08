package errtext

// Subjects lists what the event names that can be looked for on a host, what
// tells most first.
func (e Event) Subjects() []string {
	var out []string
	for _, word := range []string{e.Path, e.Container, e.Device, e.PodUID} {
		if word != "" {
			out = append(out, word)
		}
	}
	return out
}
