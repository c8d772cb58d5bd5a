package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/firecracker-microvm/firecracker-go-sdk/vsock"
)

// firstError is for walks that are one step after the other.
func firstError(steps ...func() error) error {
	for number, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", number+1, err)
		}
	}
	return nil
}

func expect(what string, got, want interface{}) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}

func (v *vm) expectState(ctx context.Context, want string) error {
	info, err := v.DescribeInstanceInfo(ctx)
	if err != nil {
		return err
	}
	return expect("the state", *info.State, want)
}

// Start, log and metrics through FIFOs, version, state, pause and resume twice over, Ctrl-Alt-Del, a clean end.
func walkLifecycle(ctx context.Context) error {
	v, err := boot(ctx, "lifecycle", "kbd",
		firecracker.Config{MetricsFifo: filepath.Join(options.directory, "metrics.fifo")})
	if err != nil {
		return err
	}
	return firstError(
		func() error {
			version, err := v.GetFirecrackerVersion(ctx)
			if err != nil || len(strings.Split(version, ".")) != 3 {
				return fmt.Errorf("version %q, %v", version, err)
			}
			return nil
		},
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return expect("a second start", v.Start(ctx), firecracker.ErrAlreadyStarted) },
		func() error { return v.PauseVM(ctx) },
		func() error { return v.PauseVM(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStatePaused) },
		func() error { return v.ResumeVM(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return v.Shutdown(ctx) },
		func() error { return v.ended(ctx) },
	)
}

// StopVMM ends a machine whose guest knows nothing of it.
func walkStop(ctx context.Context) error {
	v, err := boot(ctx, "stop", "idle", firecracker.Config{})
	if err != nil {
		return err
	}
	if _, err := v.PID(); err != nil {
		return err
	}
	return v.kill(ctx)
}

// Two drives with every option of the SDK; the first one is exchanged while the guest uses it.
func walkDrives(ctx context.Context) error {
	first, second, other := filepath.Join(options.directory, "a.disk"), filepath.Join(options.directory, "b.disk"), "c.disk"
	for path, fill := range map[string]string{first: "a", second: "b"} {
		if err := give(path, []byte(strings.Repeat(fill, 8192))); err != nil {
			return err
		}
	}
	drives := firecracker.NewDrivesBuilder(first).WithRootDrive(first, firecracker.WithDriveID("root_drive"),
		firecracker.WithRateLimiter(*limiter()), firecracker.WithCacheType("Writeback"), firecracker.WithIoEngine("Sync")).
		AddDrive(second, true, firecracker.WithDriveID("second"), firecracker.WithIoEngine("Async")).Build()
	v, err := boot(ctx, "drives", "drive_probe", firecracker.Config{Drives: drives})
	if err != nil {
		return err
	}
	before, err := v.order("read 0")
	if err != nil {
		return err
	}
	return firstError(
		func() error { return give(v.host(other), []byte(strings.Repeat("c", 16384))) },
		func() error { return v.UpdateGuestDrive(ctx, "root_drive", v.place(other)) },
		func() error {
			after, err := v.order("read 0")
			if err == nil && before == after {
				err = errors.New("the guest still reads the old file")
			}
			return err
		},
		func() error {
			size, err := v.order("size")
			if err == nil && !strings.Contains(size, "capacity=32 ") {
				err = fmt.Errorf("the guest was not told the new size: %s", size)
			}
			return err
		},
		func() error {
			_, err := v.order("write 1 120")
			return err
		},
		func() error {
			data, err := os.ReadFile(v.host(other))
			if err == nil && string(data[512:1024]) != strings.Repeat("x", 512) {
				err = errors.New("what the guest wrote is not in the new file")
			}
			return err
		},
		func() error {
			if err := v.UpdateGuestDrive(ctx, "root_drive", v.place("missing")); err == nil {
				return errors.New("a drive that does not exist was accepted")
			}
			return nil
		},
		func() error { return v.quit(ctx) },
	)
}

// The balloon: made before the start, read, inflated, asked for statistics.
func walkBalloon(ctx context.Context) error {
	v, err := boot(ctx, "balloon", "balloon_probe", firecracker.Config{},
		firecracker.NewCreateBalloonHandler(0, true, 1))
	if err != nil {
		return err
	}
	return firstError(
		func() error {
			config, err := v.GetBalloonConfig(ctx)
			if err != nil {
				return err
			}
			return expect("the balloon", []interface{}{*config.AmountMib, *config.DeflateOnOom, config.StatsPollingIntervals},
				[]interface{}{int64(0), true, int64(1)})
		},
		func() error { return v.UpdateBalloon(ctx, 16) },
		func() error {
			text, err := v.order("inflate 16")
			if err == nil && !strings.Contains(text, "target=4096 ") {
				err = fmt.Errorf("the guest sees %s", text)
			}
			return err
		},
		func() error {
			_, err := v.order("statistics")
			return err
		},
		func() error { return v.UpdateBalloonStats(ctx, 2) },
		func() error {
			for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				statistics, err := v.GetBalloonStats(ctx)
				if err != nil {
					return err
				}
				if *statistics.ActualMib == 16 && statistics.FreeMemory == 12345 && statistics.TotalMemory == 67890 {
					return nil
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("statistics: %+v", statistics)
				}
			}
		},
		func() error { return v.quit(ctx) },
	)
}

// Vsock by the SDK's own dialler: the guest echoes.
func walkVsock(ctx context.Context) error {
	path := filepath.Join(rootOf("vsock"), "v.sock")
	inside := path
	if options.jailed {
		inside = "/v.sock"
	}
	v, err := boot(ctx, "vsock", "vsock_probe",
		firecracker.Config{VsockDevices: []firecracker.VsockDevice{{ID: "vsock0", Path: inside, CID: 3}}})
	if err != nil {
		return err
	}
	connection, err := vsock.DialContext(ctx, path, 52, vsock.WithAckMsgTimeout(patience))
	if err != nil {
		return err
	}
	message := []byte(strings.Repeat("over the fence ", 4000))
	back := make([]byte, len(message))
	return firstError(
		func() error { return connection.SetDeadline(time.Now().Add(patience)) },
		func() error {
			go connection.Write(message)
			_, err := io.ReadFull(connection, back)
			return err
		},
		func() error { return expect("the echo", string(back) == string(message), true) },
		connection.Close,
		func() error { return v.quit(ctx) },
	)
}

// The metadata store: set, changed, read, and read by the guest from inside.
func walkMetadata(ctx context.Context, version firecracker.MMDSVersion, fetched string) error {
	v, err := boot(ctx, "metadata", "net_probe",
		firecracker.Config{NetworkInterfaces: interfaces(options.tap, true), MmdsVersion: version,
			KernelArgs: "merge=1"},
		firecracker.NewSetMetadataHandler(map[string]string{"hello": "first", "stays": "here"}))
	if err != nil {
		return err
	}
	return firstError(
		func() error { return v.UpdateMetadata(ctx, map[string]string{"hello": "from the SDK"}) },
		func() error {
			var found map[string]string
			if err := v.GetMetadata(ctx, &found); err != nil {
				return err
			}
			return expect("the metadata", found, map[string]string{"hello": "from the SDK", "stays": "here"})
		},
		func() error {
			text, err := v.order("mmds")
			if err == nil && !strings.Contains(text, fetched) {
				err = fmt.Errorf("the guest fetched %s", text)
			}
			return err
		},
		func() error { return v.quit(ctx) },
	)
}

func walkMetadataV1(ctx context.Context) error {
	return walkMetadata(ctx, firecracker.MMDSv1, "mmds: HTTP/1.1 200  / from the SDK")
}

// Without a session token, which the guest does not ask for, version 2 refuses.
func walkMetadataV2(ctx context.Context) error {
	return walkMetadata(ctx, firecracker.MMDSv2, "mmds: HTTP/1.1 401 ")
}

// A network interface with limits and an IP configuration, whose limits change while it sends.
func walkNetwork(ctx context.Context) error {
	list := interfaces(options.tap, false)
	v, err := boot(ctx, "network", "net_probe", firecracker.Config{NetworkInterfaces: list})
	if err != nil {
		return err
	}
	return firstError(
		func() error {
			return v.UpdateGuestNetworkInterfaceRateLimit(ctx, "1",
				firecracker.RateLimiterSet{InRateLimiter: limiter(), OutRateLimiter: limiter()})
		},
		func() error {
			_, err := v.order("send 10")
			return err
		},
		func() error { return v.quit(ctx) },
	)
}

// Paused, captured, resumed; then restored twice: once running at once, once by ResumeVM.
func walkSnapshot(ctx context.Context) error {
	disk := filepath.Join(options.directory, "original.disk")
	if err := give(disk, make([]byte, 4096)); err != nil {
		return err
	}
	v, err := boot(ctx, "original", "counter", firecracker.Config{Drives: firecracker.NewDrivesBuilder(disk).Build()})
	if err != nil {
		return err
	}
	err = firstError(
		func() error { return v.PauseVM(ctx) },
		func() error { return v.CreateSnapshot(ctx, v.place("memory"), v.place("state")) },
		func() error { return v.ResumeVM(ctx) },
		func() error { return v.kill(ctx) },
	)
	if err != nil {
		return err
	}
	for _, resume := range []bool{true, false} {
		if err := restore(ctx, v, fmt.Sprint("clone-", resume), disk, resume); err != nil {
			return fmt.Errorf("resumed by the load %v: %w", resume, err)
		}
	}
	return nil
}

func restore(ctx context.Context, from *vm, name, disk string, resume bool) error {
	v, err := prepare(name)
	if err != nil {
		return err
	}
	// The files are brought where the monitor looks: the drive by the path in the snapshot, which is relative in a jail.
	files := map[string]string{from.host("memory"): v.host("memory"), from.host("state"): v.host("state")}
	if options.jailed {
		files[disk] = v.host(filepath.Base(disk))
	}
	for source, target := range files {
		data, err := os.ReadFile(source)
		if err == nil {
			err = give(target, data)
		}
		if err != nil {
			return err
		}
	}
	snapshot := firecracker.WithSnapshot(v.place("memory"), v.place("state"),
		func(config *firecracker.SnapshotConfig) { config.ResumeVM = resume })
	// Validation would look for the jail's paths outside.
	if err := v.newMachine(ctx, name, "", firecracker.Config{DisableValidation: options.jailed}, snapshot); err != nil {
		return err
	}
	if err := v.Start(ctx); err != nil {
		return fmt.Errorf("%w; output: %s", err, v.console.String())
	}
	if !resume {
		if err := v.expectState(ctx, models.InstanceInfoStatePaused); err != nil {
			return err
		}
		if err := v.ResumeVM(ctx); err != nil {
			return err
		}
	}
	text, err := v.waitFor("count ")
	if err == nil && strings.Contains(text, "GUEST-UP") {
		err = errors.New("the guest began anew")
	}
	if err != nil {
		return err
	}
	return v.kill(ctx)
}

// What the monitor refuses comes back as the SDK's typed error with the monitor's text, and the socket is removed.
func walkRefusal(ctx context.Context) error {
	v, err := prepare("refusal")
	if err != nil {
		return err
	}
	disk := filepath.Join(options.directory, "refusal.disk")
	if err := give(disk, make([]byte, 4096)); err != nil {
		return err
	}
	cfg := firecracker.Config{Drives: firecracker.NewDrivesBuilder(disk).Build(), MachineCfg: models.MachineConfiguration{
		VcpuCount: firecracker.Int64(33), MemSizeMib: firecracker.Int64(64)}}
	if err := v.newMachine(ctx, "refusal", "idle", cfg); err != nil {
		return err
	}
	err = v.Start(ctx)
	if err == nil || !strings.Contains(err.Error(), "vCPU") && !strings.Contains(err.Error(), "vcpu") {
		return fmt.Errorf("33 processors are answered with %v", err)
	}
	return v.StopVMM()
}

// A daemonizing jailer ends at once. The SDK takes that for the monitor's end: it removes the socket if it is there, so
// a client that was quicker than the monitor's start goes on working. Here only what wisp owes is checked: exit code 0,
// the pid file, and a monitor that lives.
func walkDaemon(ctx context.Context) error {
	v, err := prepare("daemon")
	if err != nil {
		return err
	}
	disk := filepath.Join(options.directory, "daemon.disk")
	if err := give(disk, make([]byte, 4096)); err != nil {
		return err
	}
	if err := v.newMachine(ctx, "daemon", "idle",
		firecracker.Config{Drives: firecracker.NewDrivesBuilder(disk).Build()}); err != nil {
		return err
	}
	arguments := firecracker.NewJailerCommandBuilder().WithBin(options.jailer).WithID("daemon").WithUID(options.uid).
		WithGID(options.gid).WithNumaNode(0).WithExecFile(options.wisp).WithDaemonize(true).
		WithChrootBaseDir(filepath.Join(options.directory, "jails"))
	if output, err := arguments.Build(ctx).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	text, err := os.ReadFile(v.host(filepath.Base(options.wisp) + ".pid"))
	if err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer process.Kill()
	client := firecracker.NewClient(v.host("run/firecracker.socket"), nil, false)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := client.GetInstanceInfo(ctx); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			return err
		}
	}
}
