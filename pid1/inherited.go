package pid1

// inherited is what the entry found before the Go runtime began, in a process
// that goes on as the Go loop; found is 0 if the program began in the runtime.
// The assembly writes it by the offsets of given, and found behind them.
var inherited struct {
	given
	found uint64
}
