// Walks one scenario with the unmodified Firecracker SDK for Go and wisp's programs: sdk_walk -scenario NAME ...
//
// Prints "WALKED <scenario>" at the end; everything else that goes wrong is one line and exit code 1. What the guest
// prints is checked here, so that the SDK's success counts only when the guest saw what was asked for.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"
)

// patience is how long anything that the machine should do may take on a busy host.
const patience = 60 * time.Second

type settings struct {
	wisp, jailer, guests, directory, tap string
	jailed                               bool
	uid, gid                             int
}

var options settings

var scenarios = map[string]func(context.Context) error{
	"lifecycle": walkLifecycle,
	"stop":      walkStop,
	"drives":    walkDrives,
	"balloon":   walkBalloon,
	"vsock":     walkVsock,
	"mmds-v1":   walkMetadataV1,
	"mmds-v2":   walkMetadataV2,
	"network":   walkNetwork,
	"snapshot":  walkSnapshot,
	"refusal":   walkRefusal,
	"daemon":    walkDaemon,
}

func names() []string {
	list := []string{}
	for name := range scenarios {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

func main() {
	scenario := flag.String("scenario", "", fmt.Sprint("one of ", names()))
	flag.StringVar(&options.wisp, "wisp", "", "the monitor")
	flag.StringVar(&options.jailer, "jailer", "", "the jailer")
	flag.StringVar(&options.guests, "guests", "", "folder of guests")
	flag.StringVar(&options.directory, "directory", "", "an empty folder to work in")
	flag.StringVar(&options.tap, "tap", "tap0", "a TAP interface")
	flag.BoolVar(&options.jailed, "jailed", false, "start the monitor by the jailer")
	flag.IntVar(&options.uid, "uid", 64123, "the jail's user")
	flag.IntVar(&options.gid, "gid", 64124, "the jail's group")
	flag.Parse()

	walk, known := scenarios[*scenario]
	if !known {
		fmt.Fprintln(os.Stderr, "no scenario", *scenario, "in", names())
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := walk(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *scenario, err)
		os.Exit(1)
	}
	fmt.Println("WALKED", *scenario)
}
