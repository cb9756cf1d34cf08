package pid1

// inherited is what the entry found before the Go runtime began, in a process
// that goes on as the Go loop; found is 0 if the program began in the runtime.
var inherited struct {
	mask    uint64
	ignored uint64
	nofile  [2]uint64
	found   uint64
}
