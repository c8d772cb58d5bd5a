package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/sirupsen/logrus"
)

// console collects what a monitor prints: the guest's serial output.
type console struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (c *console) Write(data []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.text.Write(data)
}

func (c *console) String() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.text.String()
}

// vm is one machine of the SDK with its guest's serial line.
type vm struct {
	*firecracker.Machine
	console *console
	log     console
	orders  *os.File
	root    string // the folder that the monitor's relative paths start from, as the host sees it
	seen    int
}

// place returns the path by which the monitor finds a file that the host sees as root/name.
func (v *vm) place(name string) string {
	if options.jailed {
		return "/" + name
	}
	return filepath.Join(v.root, name)
}

// host returns the same file's path outside.
func (v *vm) host(name string) string { return filepath.Join(v.root, name) }

func rootOf(name string) string {
	if !options.jailed {
		return filepath.Join(options.directory, name)
	}
	return filepath.Join(options.directory, "jails", filepath.Base(options.wisp), name, "root")
}

// prepare makes the machine's folder. A jail's folder is made by the jailer, but files may be put there before.
func prepare(name string) (*vm, error) {
	machine := &vm{console: &console{}, root: rootOf(name)}
	return machine, os.MkdirAll(machine.root, 0o755)
}

// give writes a file that the monitor may change.
func give(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	if !options.jailed {
		return nil
	}
	return os.Chown(path, options.uid, options.gid)
}

// newMachine hands the configuration to the SDK: a plain process or one that the jailer starts. `name` is the id.
func (v *vm) newMachine(ctx context.Context, name, guest string, cfg firecracker.Config, opts ...firecracker.Opt) error {
	input, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	v.orders = orders
	cfg.VMID = name
	if guest != "" {
		// Away from the serial output, whose lines it would cut. (Loading a snapshot, the SDK links no FIFO into a jail.)
		cfg.LogLevel, cfg.FifoLogWriter = "Warning", &v.log
		cfg.LogFifo = filepath.Join(options.directory, name+".log.fifo")
		if err := copyFile(filepath.Join(options.guests, guest), filepath.Join(options.directory, name+".kernel")); err != nil {
			return err
		}
		cfg.KernelImagePath = filepath.Join(options.directory, name+".kernel")
		cfg.KernelArgs = "console=ttyS0 " + cfg.KernelArgs
		if cfg.MachineCfg.VcpuCount == nil {
			cfg.MachineCfg.VcpuCount, cfg.MachineCfg.MemSizeMib = firecracker.Int64(1), firecracker.Int64(128)
		}
	}
	cfg.Seccomp.Enabled = true
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	opts = append(opts, firecracker.WithLogger(logrus.NewEntry(logger)))
	if options.jailed {
		v.jail(&cfg, name, input)
	} else {
		cfg.SocketPath = filepath.Join(options.directory, name+".sock")
		command := firecracker.VMCommandBuilder{}.WithBin(options.wisp).WithSocketPath(cfg.SocketPath).
			AddArgs("--id", name).WithStdin(input).WithStdout(v.console).WithStderr(v.console).Build(ctx)
		command.Dir = v.root
		opts = append(opts, firecracker.WithProcessRunner(command))
	}
	v.Machine, err = firecracker.NewMachine(ctx, cfg, opts...)
	return err
}

func (v *vm) jail(cfg *firecracker.Config, name string, input *os.File) {
	cfg.JailerCfg = &firecracker.JailerConfig{
		ID: name, UID: &options.uid, GID: &options.gid, NumaNode: firecracker.Int(0),
		ExecFile: options.wisp, JailerBinary: options.jailer,
		ChrootBaseDir:  filepath.Join(options.directory, "jails"),
		ChrootStrategy: firecracker.NewNaiveChrootStrategy(cfg.KernelImagePath),
		Stdin:          input, Stdout: v.console, Stderr: v.console,
	}
}

// waitFor waits until the guest has printed `text`, counted from the last order.
func (v *vm) waitFor(text string) (string, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if fresh := v.console.String()[v.seen:]; strings.Contains(fresh, text) {
			return fresh, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no %q in the output: %s", text, v.console.String())
		}
	}
}

// order gives the guest an order and returns what it prints until "<word> done".
func (v *vm) order(text string) (string, error) {
	v.seen = len(v.console.String())
	if _, err := v.orders.WriteString(text + "\n"); err != nil {
		return "", err
	}
	return v.waitFor(strings.Fields(text)[0] + " done")
}

// boot makes and starts a machine and waits until its guest is up.
func boot(ctx context.Context, name, guest string, cfg firecracker.Config, handlers ...firecracker.Handler) (*vm, error) {
	v, err := prepare(name)
	if err != nil {
		return nil, err
	}
	if options.jailed && len(cfg.Drives) == 0 {
		// The SDK's jailer support insists on a root drive.
		disk := filepath.Join(options.directory, name+".disk")
		if err := give(disk, make([]byte, 4096)); err != nil {
			return nil, err
		}
		cfg.Drives = firecracker.NewDrivesBuilder(disk).Build()
	}
	if err := v.newMachine(ctx, name, guest, cfg); err != nil {
		return nil, err
	}
	for _, handler := range handlers {
		v.Handlers.FcInit = v.Handlers.FcInit.Append(handler)
	}
	if err := v.Start(ctx); err != nil {
		return nil, fmt.Errorf("start: %w; output: %s", err, v.console.String())
	}
	_, err = v.waitFor("GUEST-UP")
	return v, err
}

// quit ends the guest, which must end the monitor with exit code 0 and remove its socket.
func (v *vm) quit(ctx context.Context) error {
	if _, err := v.orders.WriteString("quit\n"); err != nil {
		return err
	}
	return v.ended(ctx)
}

func (v *vm) ended(ctx context.Context) error {
	if err := v.Wait(ctx); err != nil {
		return fmt.Errorf("the monitor's end: %w; output: %s", err, v.console.String())
	}
	if _, err := os.Stat(v.Cfg.SocketPath); !os.IsNotExist(err) {
		return fmt.Errorf("the socket is still there: %v", err)
	}
	return nil
}

// kill is for machines whose guest never ends.
func (v *vm) kill(ctx context.Context) error {
	if err := v.StopVMM(); err != nil {
		return err
	}
	if err := v.Wait(ctx); err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		return fmt.Errorf("StopVMM ended the monitor with %v", err)
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func interfaces(tap string, metadata bool) firecracker.NetworkInterfaces {
	return firecracker.NetworkInterfaces{{
		StaticConfiguration: &firecracker.StaticNetworkConfiguration{MacAddress: "06:00:ac:10:00:02", HostDevName: tap},
		AllowMMDS:           metadata,
		InRateLimiter:       limiter(),
	}}
}

func limiter() *models.RateLimiter {
	bucket := firecracker.TokenBucketBuilder{}.WithBucketSize(1 << 20).WithRefillDuration(100 * time.Millisecond).
		WithInitialSize(1 << 20).Build()
	return firecracker.NewRateLimiter(bucket, bucket)
}
