/// Whether the machine's own filters let tunnels pass.
extension Doctor {
    /// - Parameter obstacles: What was found; nil where this machine is no host.
    public func filters(_ obstacles: [TunnelObstacle]?) -> [Finding] {
        let subject = "tunnels pass the machine's filters"
        guard let obstacles else {
            return [Finding(subject: subject, isGood: true, detail: "cannot be told: this machine is no host yet")]
        }
        if obstacles.isEmpty { return [Finding(subject: subject, isGood: true, detail: "so they do")] }
        return obstacles.map { obstacle in
            Finding(
                subject: subject, isGood: !obstacle.isCertain, isUncertain: !obstacle.isCertain,
                detail: "\(obstacle)", remedy: obstacle.remedy)
        }
    }
}
