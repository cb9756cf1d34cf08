package errtext

// ThinDevice is what the subject of an event about a device in a thin pool begins with.
const ThinDevice = "thin device "

// Subjects lists what the event names that can be looked for on a host, what
// tells most first.
func (e Event) Subjects() []string {
	var out []string
	device := e.Device
	if id := leading(device, isDigit); e.Family == ThinPool && id > 0 && id == len(device) {
		device = ThinDevice + device // a number alone is no name
	}
	for _, word := range []string{e.Path, e.Container, device, e.PodUID} {
		if word != "" {
			out = append(out, word)
		}
	}
	return out
}
